package grade

import (
	"regexp"
	"strings"
)

// rejects are predicates that take a value back.
const rejects = `(?:(?:also|clearly|obviously|therefore|thus)\s+)?(?:incorrect|wrong|false|invalid|impossible|ruled\s+out|eliminated|` +
	`rejected|excluded|discarded|extraneous|not\s+(?:it|true|possible|correct|right)|too\s+(?:large|small|big))\b`

var (
	// improbable in a clause denies or doubts the value that the clause states.
	improbable = regexp.MustCompile(`(?i)\b(?:impossible|unlikely|doubtful|not\s+(?:possible|true|correct|likely)|no\s+way|` +
		`(?:do\s+not|don't)\s+(?:think|believe)|doubt)\b`)
	// disowned before a marker or a box, in the same clause, does so too.
	disowned = regexp.MustCompile(`(?i)\b(?:(?:impossible|unlikely|doubtful|untrue|false|wrong|incorrect|` +
		`not\s+(?:possible|true|correct|likely))\s+(?:that|to|for|if)|no\s+way|` +
		`(?:do|does|did)(?:\s+not|n't)\s+(?:think|believe|mean|follow|imply)|doubt|` +
		`mistake\s+(?:is|was|would\s+be)\s+to|(?:nobody|no\s+one)\s+(?:says|thinks|claims|believes)|` +
		`(?:one|you|we|some|many|people)\s+(?:might|may|could|would)\s+(?:think|guess|expect|believe|be\s+tempted))\b`)
	// certain words say the contrary of the doubt that they hold.
	certain = regexp.MustCompile(`(?i)\b(?:no|not|without|beyond)\s+(?:(?:a|any|the)\s+)?(?:(?:shadow\s+of\s+a|reasonable)\s+)?` +
		`doubt(?:ful)?\b`)
	// supposed right before a marker leaves open what it announces: if the answer is 5.
	supposed = regexp.MustCompile(`(?i)\b(?:if|unless|until|whether|suppos(?:e|ing)|assum(?:e|ing)|imagin(?:e|ing)|pretend|claims?|told)` +
		`(?:\s+that)?(?:\s+(?:the|our|my|this|your))?(?:\s+(?:final|correct|right))?\s*$`)
	// clauseStart is what a clause begins behind: a mark or a conjunction.
	clauseStart = regexp.MustCompile(`(?i)[.,;:!?，。；：]|\b(?:so|hence|thus|therefore|and|but|because|since|as)\b`)
	// opening is what may stand between a word and a box.
	opening = regexp.MustCompile(`(?:\s|\$|\\[(\[]|\*\*|\\text\{|\\textbf\{|\\displaystyle|\})*$`)
	// unlike right before a box denies its content, or says that the answer is beyond it. "At most" does not: solutions of problems
	// that ask for an extreme end so.
	unlike = regexp.MustCompile(`(?i)(?:\b(?:(?:not|never|neither|(?:cannot|can(?:\s+not|'t)|won't|n't)\s+be|(?:is|are|was)n't)` +
		`(?:\s+equal(?:\s+to)?)?|(?:less|more|fewer|greater|larger|smaller|bigger|higher|lower|other)\s+than)|不是|并非|大于|小于)$`)
	// takenBack right behind a box takes it back.
	takenBack = regexp.MustCompile(`(?i)^(?:\s|\$|\\[)\]]|\*\*|[,，])*(?:(?:which|but\s+(?:that|this|it))\s+)?` +
		`(?:is|was|seems|looks|(?:can|must|should|may)\s+be|(?:has|have)\s+been)\s+` + rejects)
)

// doubted tells whether the text before a marker or a box denies, doubts or only supposes what comes.
func doubted(before string) bool {
	before = lastBytes(before, maxSentence)
	if all := clauseStart.FindAllStringIndex(before, -1); len(all) > 0 {
		before = before[all[len(all)-1][1]:]
	}
	return supposed.MatchString(before) ||
		disowned.MatchString(certain.ReplaceAllString(before, "")) && !strings.ContainsAny(before, "=0123456789")
}

// disputed tells whether the words that lead to a box deny or doubt its content: not, less than.
func disputed(before string) bool {
	return unlike.MatchString(opening.ReplaceAllString(lastBytes(before, besideBytes), "")) || doubted(before)
}

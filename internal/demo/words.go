package demo

import "strings"

// words spell the numbers: each is one token, so a sum is a fact about three of them.
var words = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")

// vocabulary are the words that deserve a token of their own.
var vocabulary = []string{"First", "Then", "Wait", "Maybe", "No", "We", "The", "Compute", "It", "How", "A",
	" back", " to", " get", " answer", " is", " shop", " has", " boxes", " of", " pens", " books", " eggs", " cups",
	" gets", " more", " sells", " many", " are", " left", " plus", " minus", " times", "user", "assistant", "think",
	" two", " three", " four", " five", " six", " seven", " eight", " nine", " ten", " eleven", " twelve", " thirteen",
	" fourteen", " fifteen", " sixteen", " seventeen", " eighteen", " nineteen", " one"}

// merges builds each word from its beginning, one letter at a time.
func merges(words []string) []string {
	var list []string
	seen := map[string]bool{}
	for _, w := range words {
		w = strings.ReplaceAll(w, " ", "Ġ") // as GPT-2's byte alphabet writes a space
		letters := strings.Split(w, "")
		prefix := letters[0]
		for _, l := range letters[1:] {
			if m := prefix + " " + l; !seen[m] {
				seen[m] = true
				list = append(list, m)
			}
			prefix += l
		}
	}
	return list
}

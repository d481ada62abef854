package demo

import "strings"

// vocabulary are the texts that deserve a token of their own.
var vocabulary = []string{"First", "Then", "Wait", "Maybe", "No", "We", "The", "Compute", "It", "How", "A",
	" back", " to", " get", " answer", " is", " shop", " has", " boxes", " of", " pens", " books", " eggs", " cups",
	" gets", " more", " sells", " many", " times", " as", " it", " then", " are", " left", "user", "assistant", "think", ".\n", ">\n", "</"}

// merges builds each text from its beginning, one byte at a time.
func merges(texts []string) []string {
	var list []string
	seen := map[string]bool{}
	alphabet := strings.NewReplacer(" ", "Ġ", "\n", "Ċ") // as GPT-2's byte alphabet writes them
	for _, text := range texts {
		letters := strings.Split(alphabet.Replace(text), "")
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

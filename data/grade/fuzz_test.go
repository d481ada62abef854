package grade

import (
	"testing"
	"time"
)

// slow is far above what any comparison takes on an idle machine (see TestHostile), so that a busy one does not fail.
const slow = 5 * time.Second

// FuzzEqual: no input panics or takes long, an answer is never different from itself, and the same question has the same answer.
func FuzzEqual(f *testing.F) {
	for _, c := range cases {
		f.Add(c.gold, c.pred)
	}
	for _, s := range hostile() {
		if len(s) < 1<<12 {
			f.Add(s, "1")
		}
	}
	f.Fuzz(func(t *testing.T, gold, pred string) {
		start := time.Now()
		v := Equal(gold, pred)
		if took := time.Since(start); took > slow {
			t.Fatalf("took %v", took)
		}
		if again := Equal(gold, pred); again != v {
			t.Fatalf("%v, then %v", v, again)
		}
		if (v.Equal == Yes) != (v.Reason == "") {
			t.Fatalf("%v with reason %q", v.Equal, v.Reason)
		}
		if self := Equal(gold, gold); self.Equal == No {
			t.Fatalf("%q is different from itself: %s", gold, self.Reason)
		}
	})
}

// FuzzExtract: no input panics, an answer is found where ok says so, and the answer of an answer exists.
func FuzzExtract(f *testing.F) {
	for _, c := range extractions {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		start := time.Now()
		answer, ok := Extract(text)
		if took := time.Since(start); took > slow {
			t.Fatalf("took %v", took)
		}
		if ok != (answer != "") {
			t.Fatalf("%q, %v", answer, ok)
		}
	})
}

package grade

import "testing"

// TestDoubts: an answer that the words before or behind it deny, doubt or only suppose is none; words that say the contrary of a
// doubt, and doubts in another clause, leave it.
func TestDoubts(t *testing.T) {
	for _, c := range []struct {
		pred string
		want Decision
	}{
		{"I doubt the answer is 14.", Undecided},
		{"I have no doubt that the answer is 14.", Yes},
		{"It is false that the answer is 14.", Undecided},
		{"With the false roots removed, the answer is 14.", Yes},
		{"Suppose the answer is 14.", Undecided},
		{"If n is odd, the answer is 14.", Yes},
		{"One might think the answer is 14.", Undecided},
		{"The answer is 14, which is wrong.", Undecided},
		{"The answer is 14, which is not a square.", Yes},
		{"The answer is 14. One might think the answer is 15.", Yes},
		{`The answer is not $\boxed{14}$.`, Undecided},
		{`It is $\boxed{14}$, not $\boxed{15}$.`, Yes},
		{`x cannot be 13, so it is \boxed{14}`, Yes},
		{`It is more than \boxed{14}`, Undecided},
		{`So he can have at most $\boxed{14}$.`, Yes}, // of a problem that asks for the most
		{`So $\boxed{14}$ is impossible.`, Undecided},
		{`$\boxed{14}$ can be ruled out.`, Undecided},
		{`$\boxed{14}$ is not a square.`, Yes},
	} {
		if v := Equal("14", c.pred); v.Equal != c.want {
			t.Errorf("Equal(14, %q) = %v (%s), want %v", c.pred, v.Equal, v.Reason, c.want)
		}
	}
}

// TestArbitraryConstants: a constant that a gold answer leaves open may have another name, and no variable may.
func TestArbitraryConstants(t *testing.T) {
	for _, c := range []struct {
		gold, pred string
		want       Decision
	}{
		{"e^x+C", "K+e^x", Yes},
		{"Ce^{2x}", "y=Ae^{2x}", Yes},
		{"c_1e^x+c_2e^{-x}", "Ae^x+Be^{-x}", Yes},
		{"e^x+C", "e^x+y", No},
		{"e^x+C", "e^x+x", No},
		{"Ce^{2x}", "Ae^x", No},
		{"e^x+K", "e^x+C", No}, // only C and c are constants to a gold answer
	} {
		if v := Equal(c.gold, c.pred); v.Equal != c.want && !(c.want == No && v.Equal == Undecided) {
			t.Errorf("Equal(%q, %q) = %v (%s), want %v", c.gold, c.pred, v.Equal, v.Reason, c.want)
		}
	}
}

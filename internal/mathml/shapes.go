package mathml

// shape is what a command makes of its arguments, which stand where $1 and $2 are.
type shape struct {
	arguments int
	xml       string
	limits    bool
}

var shapes = map[string]shape{
	"frac": {2, "<mfrac>$1$2</mfrac>", false}, "tfrac": {2, "<mfrac>$1$2</mfrac>", false},
	"dfrac":    {2, `<mstyle displaystyle="true"><mfrac>$1$2</mfrac></mstyle>`, false},
	"cfrac":    {2, `<mstyle displaystyle="true"><mfrac>$1$2</mfrac></mstyle>`, false},
	"binom":    {2, `<mrow><mo>(</mo><mfrac linethickness="0">$1$2</mfrac><mo>)</mo></mrow>`, false},
	"tbinom":   {2, `<mrow><mo>(</mo><mfrac linethickness="0">$1$2</mfrac><mo>)</mo></mrow>`, false},
	"dbinom":   {2, `<mstyle displaystyle="true"><mrow><mo>(</mo><mfrac linethickness="0">$1$2</mfrac><mo>)</mo></mrow></mstyle>`, false},
	"boxed":    {1, `<mrow class="boxed">$1</mrow>`, false},
	"fbox":     {1, `<mrow class="boxed">$1</mrow>`, false},
	"cancel":   {1, `<mrow class="cancel">$1</mrow>`, false},
	"bcancel":  {1, `<mrow class="cancel">$1</mrow>`, false},
	"xcancel":  {1, `<mrow class="cancel">$1</mrow>`, false},
	"phantom":  {1, "<mphantom>$1</mphantom>", false},
	"overset":  {2, "<mover>$2$1</mover>", false},
	"stackrel": {2, "<mover>$2$1</mover>", false},
	"underset": {2, "<munder>$2$1</munder>", false},
	"mathop":   {1, "$1", true}, "mathrel": {1, "$1", false}, "mathbin": {1, "$1", false}, "mathord": {1, "$1", false},
	"ensuremath": {1, "$1", false}, "smash": {1, "$1", false},
	"pmod": {1, `<mrow><mspace width="0.5em"></mspace><mo stretchy="false">(</mo><mi>mod</mi><mspace width="0.3em"></mspace>$1` +
		`<mo stretchy="false">)</mo></mrow>`, false},
	"pod":        {1, `<mrow><mspace width="0.5em"></mspace><mo stretchy="false">(</mo>$1<mo stretchy="false">)</mo></mrow>`, false},
	"underline":  {1, `<munder>$1<mo stretchy="true">_</mo></munder>`, false},
	"overbrace":  {1, `<mover>$1<mo stretchy="true">⏞</mo></mover>`, true},
	"underbrace": {1, `<munder>$1<mo stretchy="true">⏟</mo></munder>`, true},
}

// accents stand above; the stretched ones are as wide as what they stand on.
var accents = map[string]string{
	"hat": "^", "bar": "¯", "tilde": "~", "vec": "→", "dot": "˙", "ddot": "¨", "check": "ˇ", "breve": "˘", "acute": "´", "grave": "`",
	"mathring": "˚",
}

var stretchedAccents = map[string]string{
	"overline": "‾", "widehat": "^", "widetilde": "~", "overrightarrow": "→", "overleftarrow": "←", "overleftrightarrow": "↔",
	"overarc":   "⏜",
	"wideparen": "⏜",
}

// alphabets are the commands that set their argument's letters in another one.
var alphabets = map[string]string{
	"mathbf": "bf", "mathrm": "rm", "mathbb": "bb", "Bbb": "bb", "mathcal": "cal", "mathscr": "cal", "mathfrak": "frak", "mathsf": "sf",
	"mathtt": "tt", "mathit": "", "mathnormal": "", "boldsymbol": "bi", "bm": "bi", "pmb": "bi", "bold": "bf", "Bold": "bf",
}

// declared are the commands that do so up to the end of the group.
var declared = map[string]string{"rm": "rm", "bf": "bf"}

// texts are the commands whose argument is text; the value is its class.
var texts = map[string]string{
	"text": "", "textrm": "", "textnormal": "", "mbox": "", "hbox": "", "textsf": "", "textup": "", "textbf": "bold", "textit": "italic",
	"emph": "italic", "textsl": "italic", "texttt": "mono",
}

// dropped commands change how a formula looks, not what it says; the value is how many arguments go with them.
var dropped = map[string]int{
	"displaystyle": 0, "textstyle": 0, "scriptstyle": 0, "scriptscriptstyle": 0, "hline": 0, "nonumber": 0, "notag": 0, "label": 1, "color": 1,
	"large": 0, "Large": 0, "normalsize": 0, "small": 0, "allowbreak": 0, "displaylimits": 0, "relax": 0, "noindent": 0, "centering": 0,
	"bigskip": 0,
}

var spaces = map[string]string{
	",": "0.17em", ":": "0.22em", ">": "0.22em", ";": "0.28em", "!": "-0.17em", " ": "0.33em", "quad": "1em", "qquad": "2em",
	"enspace": "0.5em", "thinspace": "0.17em", "\n": "0.33em", "space": "0.33em", "thickspace": "0.28em", "medspace": "0.22em",
	"negthinspace": "-0.17em",
}

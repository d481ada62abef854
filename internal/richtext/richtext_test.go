package richtext

import (
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/shareddata"
)

func TestHTML(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb":                       "<p>a<br/>b</p>",
		"a\n\nb":                     "<p>a</p><p>b</p>",
		"**Answer:** *yes* __no__":   "<p><strong>Answer:</strong> <em>yes</em> <strong>no</strong></p>",
		"2*3*4 = 2 * 12, x**2 + y**": "<p>2*3*4 = 2 * 12, x**2 + y**</p>",
		"a_1 + b_1 and snake_case_x": "<p>a_1 + b_1 and snake_case_x</p>",
		"**a *b* c**":                "<p><strong>a <em>b</em> c</strong></p>",
		"# Head\n## Sub ##":          `<p class="heading h1">Head</p><p class="heading h2">Sub</p>`,
		"#hashtag and 1986. A year":  "<p>#hashtag and 1986. A year</p>",
		"- a\n- b\n  - c\n2. d": `<ul class="list"><li class="d0"><span class="mark">•</span> a</li><li class="d0"><span ` +
			`class="mark">•</span> b</li><li class="d1"><span class="mark">•</span> c</li><li class="d0"><span class="mark">2.</span> d</li></ul>`,
		"---":                        "<hr/>",
		"> q\n> r":                   "<blockquote><p>q<br/>r</p></blockquote>",
		"|a|b|\n|--|:-:|\n|1|2|":     `<table class="grid"><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>`,
		"|x| < 2 and |y| > 1":        "<p>|x| &lt; 2 and |y| &gt; 1</p>",
		"`a*b*c` and ```":            "<p><code>a*b*c</code> and ```</p>",
		"```py\nx = **2**\n```\nend": `<pre class="code"><code>x = **2**</code></pre><p>end</p>`,
		"```\nnever closed":          `<pre class="code"><code>never closed</code></pre>`,
		`\*not\* \_x\_ \$5`:          "<p>*not* _x_ $5</p>",
		"it costs $a or $b, $7$8":    "<p>it costs $a or $b, $7$8</p>",
		"it costs $5 or $10":         "<p>it costs $5 or $10</p>",
		"[a](https://b.c/d?e=1&f)":   `<p><a rel="noopener noreferrer" href="https://b.c/d?e=1&amp;f">a</a></p>`,
		"[a](javascript:alert(1))":   "<p>[a](javascript:alert(1))</p>",
		"[a](JaVaScRiPt:x)":          "<p>[a](JaVaScRiPt:x)</p>",
		"![i](https://x.y/z.png)":    `<p><a rel="noopener noreferrer" href="https://x.y/z.png">i</a></p>`,
		`[a](https://x"onclick=b)`:   `<p><a rel="noopener noreferrer" href="https://x&#34;onclick=b">a</a></p>`,
		"<b>x</b>&amp;":              "<p>&lt;b&gt;x&lt;/b&gt;&amp;amp;</p>",
		"a\x00b\x01":                 "<p>a\uFFFDb\uFFFD</p>",
		`$x$ \(x\)`:                  `<p><math alttext="x"><mi>x</mi></math> <math alttext="x"><mi>x</mi></math></p>`,
		`**\(x\)**`:                  `<p><strong><math alttext="x"><mi>x</mi></math></strong></p>`,
		"$$\nx\n$$":                  "<p><math display=\"block\" alttext=\"\nx\n\"><mi>x</mi></math></p>",
		`\boxed{7}`:                  `<p><math alttext="\boxed{7}"><mrow class="boxed"><mn>7</mn></mrow></math></p>`,
		`$\bad{<x>}$`:                `<p><code class="tex" title="at byte 4: unknown command \bad">$\bad{&lt;x&gt;}$</code></p>`,
		`\(b=2, when \(a\)`:          `<p>\(b=2, when <math alttext="a"><mi>a</mi></math></p>`,
		`\( never closed *x*`:        `<p>\( never closed <em>x</em></p>`,
		"a $x\n\ny$ b":               "<p>a $x</p><p>y$ b</p>",
	} {
		require.Equal(t, want, HTML(text), text)
	}
	require.Equal(t, `<pre class="plain">&lt;a&gt;  b</pre>`, Plain("<a>  b"))
	require.True(t, strings.HasPrefix(HTML(strings.Repeat("*", longest+1)), `<pre class="plain">`))
}

// wellFormed fails unless the HTML is well-formed and has only elements and attributes that this package and MathML write.
func wellFormed(t *testing.T, html string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader("<div>" + html + "</div>"))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, html)
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		require.Regexp(t, `^(div|p|br|hr|ul|li|span|blockquote|table|tr|td|th|pre|code|a|strong|em|s|m[a-z]+)$`, e.Name.Local)
		for _, a := range e.Attr {
			require.NotRegexp(t, `^(on|style|src|id)`, a.Name.Local)
			if a.Name.Local == "href" {
				require.Regexp(t, `(?i)^https?://`, a.Value)
			}
		}
	}
}

func FuzzHTML(f *testing.F) {
	for _, text := range []string{"<script>alert(1)</script>", "[x](javascript:y)", "[x](https://y\"z)", "$\\text{<b>}$", "**`a`**",
		"|a|\n|-|\n|<i>|", "\x001\x00", "> - # a",
		"[**a](https://b)**", "\\begin{x}\\end{x}", "`$`$`"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { wellFormed(t, HTML(text)) })
}

// Hostile texts take time in proportion to their length.
func TestHTMLIsFast(t *testing.T) {
	for _, piece := range []string{"**a ", "*a", "$a ", `\(`, "`", "``a", "[", "[a](", `\[a `, "- ", "> ", "$$", `\boxed{`, `\begin{`, "_a ",
		"~~a "} {
		text := strings.Repeat(piece, longest/3/len(piece))
		begun := time.Now()
		HTML(text)
		require.Less(t, time.Since(begun), 3*time.Second, piece) // each takes less than 0.2 s
	}
}

// Nearly every formula of real traces can be read, and nothing of their texts becomes markup.
func TestRealTexts(t *testing.T) {
	files := []string{filepath.Join(shareddata.Dir(t), "data", "trajectories", "r1distill_math153.jsonl"),
		filepath.Join(shareddata.Dir(t), "data", "trajectories", "r1_bangla_mmlu_math807.jsonl")}
	read, refused, n := 0, 0, 0
	for row, err := range data.Read(files, data.ReadOptions{}) {
		require.NoError(t, err)
		if n++; n > 160 && n%10 != 0 { // the larger file is a sample
			continue
		}
		for _, text := range []string{row.Problem, row.Thinking, row.Response} {
			html := HTML(text)
			wellFormed(t, html)
			read += strings.Count(html, "<math ")
			refused += len(regexp.MustCompile(`<code class="tex"`).FindAllString(html, -1))
		}
	}
	t.Logf("%d formulas read, %d shown as they were written", read, refused)
	require.Greater(t, read, 5000)
	require.Less(t, refused, read/200)
}

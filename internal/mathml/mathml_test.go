package mathml

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// body is what a formula comes to without the math element around it.
func body(t *testing.T, tex string) string {
	t.Helper()
	out, err := Convert(tex, false)
	require.NoError(t, err, tex)
	_, inner, _ := strings.Cut(out, ">")
	return strings.TrimSuffix(inner, "</math>")
}

// Every result was written by hand, after the MathML Core specification and what TeX sets.
func TestConvert(t *testing.T) {
	for tex, want := range map[string]string{
		`x`:             `<mi>x</mi>`,
		`-1.5`:          `<mrow><mo>−</mo><mn>1.5</mn></mrow>`,
		`1,000,000`:     `<mn>1,000,000</mn>`,
		`(1,2)`:         `<mrow><mo stretchy="false">(</mo><mn>1</mn><mo>,</mo><mn>2</mn><mo stretchy="false">)</mo></mrow>`,
		`\frac{1}{2}`:   `<mfrac><mn>1</mn><mn>2</mn></mfrac>`,
		`\frac12`:       `<mfrac><mn>1</mn><mn>2</mn></mfrac>`,
		`\dfrac ab`:     `<mstyle displaystyle="true"><mfrac><mi>a</mi><mi>b</mi></mfrac></mstyle>`,
		`a \over b`:     `<mfrac><mi>a</mi><mi>b</mi></mfrac>`,
		`{n \choose k}`: `<mrow><mo>(</mo><mfrac linethickness="0"><mi>n</mi><mi>k</mi></mfrac><mo>)</mo></mrow>`,
		`\sqrt{2}`:      `<msqrt><mn>2</mn></msqrt>`,
		`\sqrt[3]{x+1}`: `<mroot><mrow><mi>x</mi><mo>+</mo><mn>1</mn></mrow><mn>3</mn></mroot>`,
		`x^2`:           `<msup><mi>x</mi><mn>2</mn></msup>`,
		`x^23`:          `<mrow><msup><mi>x</mi><mn>2</mn></msup><mn>3</mn></mrow>`,
		`x_i^{n+1}`:     `<msubsup><mi>x</mi><mi>i</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msubsup>`,
		`x^n_i`:         `<msubsup><mi>x</mi><mi>i</mi><mi>n</mi></msubsup>`,
		`f''(x)`:        `<mrow><msup><mi>f</mi><mo>′′</mo></msup><mo stretchy="false">(</mo><mi>x</mi><mo stretchy="false">)</mo></mrow>`,
		`f'^2`:          `<msup><mi>f</mi><mrow><mo>′</mo><mn>2</mn></mrow></msup>`,
		`90^\circ`:      `<msup><mn>90</mn><mi>∘</mi></msup>`,
		`\sum_{i=1}^n i`: `<mrow><munderover><mo movablelimits="true">∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi>` +
			`</munderover><mi>i</mi></mrow>`,
		`\int_0^1`: `<msubsup><mo>∫</mo><mn>0</mn><mn>1</mn></msubsup>`,
		`\lim_{x\to0}`: `<munder><mo movablelimits="true" rspace="0.17em">lim</mo><mrow><mi>x</mi><mo ` +
			`stretchy="false">→</mo><mn>0</mn></mrow></munder>`,
		`\sin x`:                `<mrow><mi>sin</mi><mspace width="0.17em"></mspace><mi>x</mi></mrow>`,
		`\sin(x)`:               `<mrow><mi>sin</mi><mo stretchy="false">(</mo><mi>x</mi><mo stretchy="false">)</mo></mrow>`,
		`\left( x \right]`:      `<mrow><mo stretchy="true" form="prefix">(</mo><mi>x</mi><mo stretchy="true" form="postfix">]</mo></mrow>`,
		`\left. x \right|_0`:    `<msub><mrow><mi>x</mi><mo stretchy="true" form="postfix">|</mo></mrow><mn>0</mn></msub>`,
		`\boxed{4}`:             `<mrow class="boxed"><mn>4</mn></mrow>`,
		`\text{if } x`:          "<mrow><mtext>if\u00a0</mtext><mi>x</mi></mrow>",
		`\text{for $n$ odd}`:    "<mrow><mtext>for\u00a0</mtext><mi>n</mi><mtext>\u00a0odd</mtext></mrow>",
		`\mathbb{R}\mathbf{v}`:  `<mrow><mi>ℝ</mi><mi>𝐯</mi></mrow>`,
		`\mathrm{cm}`:           `<mrow><mi mathvariant="normal">c</mi><mi mathvariant="normal">m</mi></mrow>`,
		`{\rm cm}x`:             `<mrow><mrow><mi mathvariant="normal">c</mi><mi mathvariant="normal">m</mi></mrow><mi>x</mi></mrow>`,
		`x^\displaystyle 2`:     `<mrow><msup><mi>x</mi><mrow></mrow></msup><mn>2</mn></mrow>`,
		`\alpha\Omega`:          `<mrow><mi>α</mi><mi mathvariant="normal">Ω</mi></mrow>`,
		`\overline{AB}`:         `<mover accent="true"><mrow><mi>A</mi><mi>B</mi></mrow><mo stretchy="true">‾</mo></mover>`,
		`a \not= b`:             "<mrow><mi>a</mi><mo>=\u0338</mo><mi>b</mi></mrow>",
		`50\%`:                  `<mrow><mn>50</mn><mo stretchy="false">%</mo></mrow>`,
		`x < y`:                 `<mrow><mi>x</mi><mo>&lt;</mo><mi>y</mi></mrow>`,
		`\operatorname{lcm}(a)`: `<mrow><mi>lcm</mi><mo stretchy="false">(</mo><mi>a</mi><mo stretchy="false">)</mo></mrow>`,
		`\begin{pmatrix}1&2\\3&4\end{pmatrix}`: `<mrow><mo>(</mo><mtable><mtr><mtd class="c"><mn>1</mn></mtd><mtd ` +
			`class="c"><mn>2</mn></mtd></mtr>` +
			`<mtr><mtd class="c"><mn>3</mn></mtd><mtd class="c"><mn>4</mn></mtd></mtr></mtable><mo>)</mo></mrow>`,
		`\begin{cases}1&x>0\\0\end{cases}`: `<mrow><mo>{</mo><mtable><mtr><mtd class="l"><mn>1</mn></mtd><mtd ` +
			`class="l"><mi>x</mi><mo>&gt;</mo><mn>0</mn></mtd></mtr>` +
			`<mtr><mtd class="l"><mn>0</mn></mtd></mtr></mtable></mrow>`,
		`\begin{array}{l|r}a&b\\[2pt]\hline\end{array}`: `<mtable><mtr><mtd class="l"><mi>a</mi></mtd><mtd ` +
			`class="r"><mi>b</mi></mtd></mtr></mtable>`,
		`a&=b\\&=c`: `<mtable displaystyle="true"><mtr><mtd class="r"><mi>a</mi></mtd><mtd class="l"><mo>=</mo><mi>b</mi></mtd></mtr>` +
			`<mtr><mtd class="r"></mtd><mtd class="l"><mo>=</mo><mi>c</mi></mtd></mtr></mtable>`,
	} {
		require.Equal(t, want, body(t, tex), tex)
	}
	out, err := Convert(`"<&`, true)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(out, `<math display="block" alttext="&#34;&lt;&amp;">`), out)
}

func TestRefuses(t *testing.T) {
	for tex, want := range map[string]string{
		"": "empty", " ": "empty", `\unknown`: `unknown command \unknown`, `x^`: "due", `x^1^2`: "second power", `x_1_2`: "second index",
		`{x`: "not closed",
		`x}`: "closes nothing", `\frac{1}`: "due", `\left(x`: `without its \right`, `\begin{matrix}1`: `without its \end`,
		`\begin{other}\end{other}`:  "unknown environment",
		`\begin{matrix}\end{cases}`: "ends", `\sqrt[3`: "not closed", `\text{a`: "not closed", `\left x\right)`: "bracket is due",
		"\xff": "UTF-8", `\`: "lone",
		`\not x`: "no relation", `\right)`: "closes nothing", strings.Repeat("x", longest+1): "at most",
		strings.Repeat("{", 100): "groups", strings.Repeat(`\frac`, 1000): "groups",
		strings.Repeat(`\left(`, 100): "groups", strings.Repeat(`\begin{matrix}`, 100): "groups",
	} {
		_, err := Convert(tex, false)
		require.ErrorContains(t, err, want, tex)
	}
}

func TestTables(t *testing.T) {
	for name, text := range map[string]string{"identifiers": identifiers, "uprights": uprights, "operators": operators, "large": large,
		"integrals": integrals} {
		require.Zero(t, len(strings.Fields(text))%2, name)
	}
	require.Equal(t, "ℂ𝔻𝟙", styled("bb", "CD1"))
	require.Equal(t, "𝛂𝑨", styled("bf", "α")+styled("bi", "A"))
	require.Equal(t, "ℋ𝒜x", styled("cal", "HA")+"x")
}

// Whatever the formula, it is refused, or well-formed XML of MathML's elements and of attributes that do nothing.
func FuzzConvert(f *testing.F) {
	for _, tex := range []string{`\frac{a}{b}^2_3'`, `\begin{aligned}a&=b\\c\end{aligned}`, `\text{<b>$x$}`, `\left\{x\middle|y\right.`,
		`"><script>`, `\substack{a\\b}`,
		`\xrightarrow[a]{b}`, `\big(x\Bigr]`, `\sqrt[\sqrt2]{3}`, `\underbrace{a}_{b}`, `\color{red}x\textcolor{red}{y}`, "\x00\ufffe"} {
		f.Add(tex)
	}
	f.Fuzz(func(t *testing.T, tex string) {
		out, err := Convert(tex, true)
		if err != nil {
			return
		}
		d := xml.NewDecoder(strings.NewReader(out))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			require.NoError(t, err, out)
			if e, ok := token.(xml.StartElement); ok {
				require.Regexp(t, `^m[a-z]+$`, e.Name.Local)
				for _, a := range e.Attr {
					require.Contains(t, []string{"alttext", "display", "class", "stretchy", "mathvariant", "linethickness", "displaystyle",
						"movablelimits", "rspace", "lspace",
						"accent", "form", "minsize", "maxsize", "width"}, a.Name.Local)
				}
			}
		}
	})
}

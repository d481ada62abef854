package grade

import "testing"

// cases are worked out by hand. A line: gold, answer, decision.
var cases = []struct {
	gold, pred string
	want       Decision
}{
	// numbers
	{"1/2", "0.5", Yes}, {`\frac{1}{2}`, ".5", Yes}, {"0.5", "0.50", Yes}, {"-3", "−3", Yes}, {"-3", "3", No}, {"007", "7", Yes},
	{`2\frac{1}{2}`, "5/2", Yes}, {`2\frac12`, "2.5", Yes}, {"2 1/2", "2.5", Yes}, {`-1\frac{1}{4}`, "-1.25", Yes}, {`2\cdot\frac12`, "1", Yes}, {"2 1/2", "21/2", No},
	{`1 \frac12`, `\frac{11}{2}`, No},
	{`\frac34`, `3/4`, Yes}, {`\frac{3}4`, `.75`, Yes}, {`\tfrac{3}{4}`, `\dfrac{3}{4}`, Yes}, {`\frac{-3}{4}`, `-\frac{3}{4}`, Yes}, {`\frac{3}{-4}`, `-0.75`, Yes},
	{"1,234", "1234", Yes}, {"1{,}234", "1234", Yes}, {`1\,234`, "1234", Yes}, {`12\,345\,678`, "12,345,678", Yes}, {"1,234.5", "1234.50", Yes}, {"1 234", "1234", Yes},
	{"1,2", "12", No}, {"1, 234", "1234", No}, {"12,34", "1234", No}, {"1,234", "1,235", No},
	{`2.5\times 10^3`, "2500", Yes}, {"2.5e3", "2500", Yes}, {"1.2E-3", "0.0012", Yes}, {`3 \times 10^{-2}`, "0.03", Yes}, {`10^{10}`, "10000000000", Yes}, {"2^10", "1024", Yes},
	{`0.\overline{3}`, `\frac13`, Yes}, {`0.1\overline{6}`, `\frac16`, Yes}, {`0.\overline{142857}`, "1/7", Yes}, {`0.\overline{9}`, "1", Yes}, {`0.\overline{3}`, "0.3", No},
	{"5!", "120", Yes}, {`\binom{5}{2}`, "10", Yes}, {`{5 \choose 2}`, "10", Yes}, {"3^{2^2}", "81", Yes}, {"2^{100}", "1267650600228229401496703205376", Yes},
	{"2^{100}", "1267650600228229401496703205377", No}, {`\sqrt{16}`, "4", Yes}, {`\sqrt[3]{-8}`, "-2", Yes}, {`8^{1/3}`, "2", Yes}, {`\log_2 8`, "3", Yes}, {`\lg 100`, "2", Yes},
	{"1111112_3", `1111112_{3}`, Yes}, {"101_2", "5", Yes}, {"101_2", "110_2", No},
	// tolerance
	{`\frac13`, "0.33", No}, {`\frac13`, "0.333", No}, {`\frac13`, "0.3333", Yes}, {`\frac13`, "0.3334", No}, {`\frac13`, "0.33333333", Yes}, {"0.333", `\frac13`, Yes}, {"0.33", `\frac13`, No},
	{"0.3333", "0.3334", No}, {"0.33333", "0.333", No}, {"0.25", "0.2499", No}, {"0.5", "0.49999999", No}, {"1", "0.99999999", No}, {"1", "1.0000", Yes},
	{`\sqrt2`, "1.414", No}, {`\sqrt2`, "1.4142", Yes}, {`\sqrt2`, "1.4143", No}, {"3.14", `\pi`, Yes}, {`\pi`, "3.14", No}, {`\pi`, `\frac{22}{7}`, No}, {"3.1416", `\pi`, Yes},
	{"10000", "9999.99999", No}, {"16386.16", "16386.1644", Yes}, {"16386.16", "16386.17", No},
	// percentages, money, degrees, units
	{`20\%`, "20", Yes}, {"20", `20\%`, Yes}, {`20\%`, "0.2", Yes}, {`20\%`, `\frac15`, Yes}, {`20\%`, "20 percent", Yes}, {`20\%`, `20\text{ percent}`, Yes}, {`20\%`, `25\%`, No}, {"0.2", "20", No}, {`20\%`, "2", No},
	{`\$12.50`, "12.5", Yes}, {`\$1,000`, "1000 dollars", Yes}, {"12.50", `\$12.50`, Yes}, {"5", "€5", Yes},
	{`90^\circ`, "90", Yes}, {`90^{\circ}`, "90°", Yes}, {`90^\circ`, "90 degrees", Yes}, {`90^\circ`, `\frac{\pi}{2}`, Yes}, {`45^\circ`, "90", No}, {`\sin 30^\circ`, "1/2", Yes},
	{`5\text{ cm}`, "5", Yes}, {"5", `5\,\mathrm{cm}`, Yes}, {`5\text{ cm}`, "5 cm", Yes}, {`5\text{ cm}`, "5 centimeters", Yes}, {`5\text{ cm}`, "5 m", No}, {`5\text{ cm}^2`, `5\text{ square centimeters}`, Yes},
	{`5\text{ cm}^2`, `5\text{ cm}^3`, No}, {"5", "5 apples", Yes}, {`60\text{ miles per hour}`, `60\text{ mph}`, Yes}, {"5m", "5", Yes}, {`3\text{ m/s}`, "3", Yes}, {`\frac{1}{3}\text{ hours}`, "20 minutes", Yes},
	{"15", `15\text{ square units}`, Yes}, {"5", "5x", No}, {"5x", "5", No}, {`12\text{ inches}`, `12 \text{ in}`, Yes},
	// radicals, π, e, functions
	{`\sqrt{8}`, `2\sqrt2`, Yes}, {`\frac{1}{\sqrt2}`, `\frac{\sqrt2}{2}`, Yes}, {`\sqrt{3+2\sqrt2}`, `1+\sqrt2`, Yes}, {`3\sqrt{2}`, `2\sqrt{3}`, No}, {`\frac{\pi}{2}`, `\pi/2`, Yes}, {`2\pi`, "2pi", Yes}, {`2\pi`, "6.28", No},
	{`\pi^2`, `2\pi`, No}, {`e^2`, `e^{2}`, Yes}, {`\ln 4`, `2\ln 2`, Yes}, {`\ln(e^3)`, "3", Yes}, {`\log_4 8`, "3/2", Yes}, {`\sin\frac{\pi}{6}`, "0.5", Yes}, {`\arctan 1`, `\frac\pi4`, Yes}, {`\sqrt[3]{54}`, `3\sqrt[3]{2}`, Yes},
	{`\cos 36^\circ`, `\frac{1+\sqrt5}{4}`, Yes}, {`\tan 15^\circ`, `2-\sqrt3`, Yes}, {`e^{i\pi}`, "-1", Yes}, {`\sqrt{-4}`, "2i", Yes}, {"3+4i", "4i+3", Yes}, {"3+4i", "3-4i", No}, {`\frac{1}{1+i}`, `\frac{1-i}{2}`, Yes},
	{`\sqrt{2}\approx 1.414`, `\sqrt 2`, Yes}, {`\sqrt{2}`, `\sqrt 2\approx 1.41`, Yes}, {`\sqrt{2}`, `x=\sqrt 2\approx 1.41`, Yes}, {"3", `\sqrt{10}\approx 3`, No},
	// expressions
	{"x^2-1", "(x-1)(x+1)", Yes}, {"x^2-1", "(x-1)^2", No}, {"2x+1", "1+2x", Yes}, {"2x+1", "2y+1", No}, {`\frac{x^2-1}{x-1}`, "x+1", Yes}, {`\frac{a}{b}+\frac{c}{d}`, `\frac{ad+bc}{bd}`, Yes},
	{`\sin^2 x+\cos^2 x`, "1", Yes}, {`\tan x`, `\frac{\sin x}{\cos x}`, Yes}, {`2\sin x\cos x`, `\sin 2x`, Yes}, {`\sin x^2`, `\sin^2 x`, No}, {`\sqrt{x^2}`, "x", No}, {`\sqrt{x^2}`, "|x|", Yes}, {`\sqrt{a}\sqrt{b}`, `\sqrt{ab}`, Yes},
	{`\ln x+\ln y`, `\ln(xy)`, Yes}, {`x^{1/2}`, `\sqrt x`, Yes}, {`x^{-1}`, `\frac1x`, Yes}, {`\frac{x}{2}`, "0.5x", Yes}, {`-\frac12x+3`, "-1/2x+3", Yes}, {"n!", `n\cdot(n-1)!`, Yes}, {`\binom{n}{2}`, `\frac{n(n-1)}{2}`, Yes},
	{`2^{n+1}`, `2\cdot 2^n`, Yes}, {`2^n`, `n^2`, No}, {`\sum_{k=1}^{n} k`, `\frac{n(n+1)}{2}`, Yes}, {`\sum_{k=1}^{10} k^2`, "385", Yes}, {"f(x+y)", "f(x)+f(y)", No}, {"f(2x)", "f(x+x)", Yes}, {"ab", "ba", Undecided}, {"ab+1", "1+ba", Yes}, {"x_1+x_2", "x_{2}+x_{1}", Yes},
	{"x_1", "x_2", No}, {`\alpha+\beta`, `\beta+\alpha`, Yes}, {"4t", "4", No}, {`\int_0^1 x\,dx`, `\int_0^1 x dx`, Yes}, {`\frac{1}{2x}`, `1/(2x)`, Yes}, {`\frac{2x}{3}`, "2x/3", Yes}, {"x^2+C", "x^2", No}, {`\lfloor 2.5\rfloor`, "2", Yes},
	{`e^{x+y}`, `e^xe^y`, Yes}, {"(a+b)^3", "a^3+3a^2b+3ab^2+b^3", Yes}, {"x^{12}", "x^{13}", No}, {"x", "X", No}, {`\pi r^2 h`, `\pi hr^2`, Yes}, {"2x^2y", "2yx^2", Yes},
	// intervals and sets
	{"(1,2)", "(1, 2)", Yes}, {"(1,2)", "[1,2]", No}, {"(1,2)", "(1,2]", No}, {"[0,1)", `[0, 1.0)`, Yes}, {`(-\infty, 3)`, "x<3", Yes}, {"x<3", `x\in(-\infty,3)`, Yes}, {`x\le 3`, `(-\infty,3]`, Yes}, {`x\le 3`, `(-\infty,3)`, No},
	{`(-\infty,1)\cup(3,\infty)`, `x<1 \text{ or } x>3`, Yes}, {`(-\infty,1)\cup(3,\infty)`, `(3,\infty)\cup(-\infty,1)`, Yes}, {`[1,2]\cup[2,3]`, "[1,3]", Yes}, {`(1,2)\cup(2,3)`, "(1,3)", No}, {`x\neq 2`, `(-\infty,2)\cup(2,\infty)`, Yes},
	{`\mathbb{R}\setminus\{2\}`, `x\ne 2`, Yes}, {`\mathbb{R}`, `(-\infty,\infty)`, Yes}, {`\mathbb{R}`, `\text{all real numbers}`, Yes}, {`\emptyset`, `\varnothing`, Yes}, {`\emptyset`, `\text{no solution}`, Yes}, {`\emptyset`, "0", No}, {`\emptyset`, `\{\}`, Yes},
	{`1<x<5`, "(1,5)", Yes}, {`1<x<5`, "5>x>1", Yes}, {`1<x\le5`, "1<x<5", No}, {`\{1,2,3\}`, `\{3,2,1\}`, Yes}, {`\{1,2,3\}`, "1,2,3", Yes}, {`\{1,2\}`, `\{1,2,3\}`, No}, {`\{1,2\}`, `(1,2)`, No}, {`\{5\}`, "5", Yes}, {`\{1,2,2\}`, `\{1,2\}`, Yes},
	{`(\sqrt2,\infty)`, `(2^{1/2},+\infty)`, Yes}, {`\{x \mid x>3\}`, `(3,\infty)`, Yes}, {"x>5", "y>5", No}, {`(a,b)`, `(b,a)`, No}, {`[1,2]\cap[1.5,3]`, `[\frac32,2]`, Yes}, {`x \ge 0, x \ne 4`, `[0,4)\cup(4,\infty)`, Yes}, {"(-1, 3)", "-1 < x < 3", Yes},
	{`\left(-\infty,-\frac{3}{2}\right]`, `(-\infty, -1.5]`, Yes},
	// tuples and several answers
	{"(1,2,3)", "(1,2,3)", Yes}, {"(1,2,3)", "(3,2,1)", No}, {"(1,2)", "1,2", Yes}, {"(1,2)", "2,1", No}, {"1,2", "2,1", Yes},
	{"1,2", "1", No}, {"1", "1,2", No}, {"1,2", `1\text{ and }2`, Yes}, {"1,2", "1 or 2", Yes}, {"1,2", "1;2", Yes},
	{"1,2,3", "1,2", No}, {`\pm 3`, "3,-3", Yes}, {`3,-3`, `\pm3`, Yes}, {`\pm 3`, "3", No}, {`x=\pm 3`, `x=3\text{ or }x=-3`, Yes}, {`1\pm\sqrt2`, `1+\sqrt2, 1-\sqrt2`, Yes}, {`\frac{-1\pm\sqrt5}{2}`, `\frac{-1-\sqrt5}{2}, \frac{\sqrt5-1}{2}`, Yes},
	{"(1,2),(3,4)", "(3,4),(1,2)", Yes}, {"(1,2),(3,4)", "(1,4),(3,2)", No}, {"x=1,y=2", "y=2,x=1", Yes}, {"x=1,y=2", "x=2,y=1", No}, {"x=1,y=2", "1,2", Yes}, {"x=1,y=2", "2,1", No}, {"x=1,y=2", "(1,2)", Yes}, {"x=2,x=3", "3,2", Yes}, {"x=2,3", "2,3", Yes},
	{"(0,0),(1,1)", "(0,0)", No}, {`\langle 1,2\rangle`, "(1,2)", Undecided}, {`\langle1,2,3\rangle`, "(1,2,3)", Yes}, {"100,200,300", "100, 200, 300", Yes}, {"1,234", "1, 234", Yes},
	// matrices
	{`\begin{pmatrix}1&2\\3&4\end{pmatrix}`, `\begin{bmatrix}1&2\\3&4\end{bmatrix}`, Yes}, {`\begin{pmatrix}1&2\\3&4\end{pmatrix}`, `\begin{pmatrix}1&3\\2&4\end{pmatrix}`, No}, {`\begin{pmatrix}1\\2\end{pmatrix}`, "(1,2)", Yes},
	{`\begin{pmatrix}1\\2\end{pmatrix}`, `\begin{pmatrix}1&2\end{pmatrix}`, No}, {`2\begin{pmatrix}1\\2\end{pmatrix}`, `\begin{pmatrix}2\\4\end{pmatrix}`, Yes}, {`\begin{pmatrix}1/2&0\\0&1\end{pmatrix}`, `\frac12\begin{pmatrix}1&0\\0&2\end{pmatrix}`, Yes},
	{`\begin{pmatrix}1&1\\0&1\end{pmatrix}\begin{pmatrix}1&0\\1&1\end{pmatrix}`, `\begin{pmatrix}2&1\\1&1\end{pmatrix}`, Yes}, {`\begin{pmatrix} 1 & 2 \\ 3 & 4 \\ \end{pmatrix}`, `\begin{array}{cc}1&2\\3&4\end{array}`, Yes},
	// equations and inequalities
	{"x=5", "5", Yes}, {"5", "x=5", Yes}, {"x=5", "x=6", No}, {"y=2x+1", "2x+1", Yes}, {"y=2x+1", "2x-y+1=0", Yes}, {"y=2x+1", "y=2x-1", No}, {"x^2+y^2=4", "2x^2+2y^2=8", Yes}, {"x^2+y^2=4", "x^2+y^2=2", No}, {"x+y=1", "1", Undecided},
	{"x+y>1", "1<x+y", Yes}, {"x+y>1", "x+y<1", No}, {"x+y>1", "2x+2y>2", Yes}, {"x+y>1", "-x-y>-1", No}, {"x+y>1", "-x-y<-1", Yes},
	{"f(x)=x^2", "x^2", Yes}, {"f(x)=x^2", "y=x^2", Yes}, {"x=2", "y=2", No}, {"5", "m+n=5", Yes}, {`k\ge 2`, `k\geqslant2`, Yes},
	{"a=b", "b=a", Yes}, {`x\approx 3.5`, "3.5", Yes}, {`x \equiv 3 \pmod 7`, `x\equiv 3\pmod{7}`, Yes}, {`x \equiv 3 \pmod 7`, `x\equiv 4\pmod{7}`, No}, {"AB=5", "5", Yes}, {`\text{Area}=12`, "12", Yes}, {`P(A)=\frac12`, "0.5", Yes}, {`y=\frac{1}{x}`, "xy=1", Undecided},
	// ratios and times
	{"2:3", "4:6", Yes}, {"2:3", "3:2", No}, {"1:2", `\frac12`, Yes}, {"4:30", "4:30", Yes}, {"4:30", "2:15", No}, {"1:2:3", "2:4:6", Yes}, {`4:30\text{ p.m.}`, "4:30", Yes},
	// letters and words
	{"A", "(A)", Yes}, {`\text{(A)}`, "A", Yes}, {"A", "B", No}, {"A", `\textbf{(A)}`, Yes}, {"B", "(B) 12", Yes}, {"B", "B. 12", Yes},
	{"B", "(C) 12", No}, {`\text{Evelyn}`, "Evelyn", Yes}, {`\text{Evelyn}`, "evelyn", Yes}, {`\text{Evelyn}`, "Carla", No},
	{`\text{yes}`, "Yes", Yes}, {"Yes", "No", No}, {"even", `\text{odd}`, No}, {`\text{Friday}`, "5", No}, {"5", "Friday", No},
	{`\text{east}`, `\text{ east }`, Yes}, {"infinity", `\infty`, Yes}, {`\infty`, `-\infty`, No}, {"True", "true", Yes}, {"the second", "the first", No}, {"none of the above", "all of the above", No}, {"sin x cos x", "cos x sin x", Yes}, {"abc", "cba", Undecided},
	// other spellings
	{`\sqrt{2}`, "√2", Yes}, {`\frac{\pi}{2}`, "π/2", Yes}, {`\frac12`, "½", Yes}, {"x^2+1", "x²+1", Yes}, {"x^{-12}", "x⁻¹²", Yes}, {"x_1+x_2", "x₁+x₂", Yes}, {`[0,\infty)`, "[0, ∞)", Yes}, {`x\le 3`, "x ≤ 3", Yes}, {`3\pm\sqrt2`, "3 ± √2", Yes},
	{`2\times3`, "2×3", Yes}, {`\mathbb{R}`, "ℝ", Yes}, {`15\text{ m}^2`, "15 m²", Yes}, {`\alpha+1`, "α + 1", Yes}, {"x^2", "x³", No}, {"(1,2)", "（1，2）", Yes},
	{`\frac{2}{3}`, "0.6666666666666666", Yes}, {`\frac{2}{3}`, "0.6667", Yes}, {`\frac{2}{3}`, "0.6666", No}, {"0.3", "0.30000000000000004", Yes}, {"0.3", "0.3000001", No}, {`\frac{1}{12}`, "0.0833333333333333", Yes},
	{`\ln 9`, "ln(9)", Yes}, {"3x", `3\cdot x`, Yes}, {`\begin{cases}x=1\\y=2\end{cases}`, "x=1, y=2", Yes}, {`\{(1,2),(3,4)\}`, "(3,4),(1,2)", Yes}, {"x=2,-3", "x=-3 or x=2", Yes}, {`5 \text{ or } 6`, "6, 5", Yes}, {"sqrt(2)/2", `\frac{\sqrt 2}{2}`, Yes},
	{`\frac{\sqrt{3}}{2}\text{ square units}`, `\frac{\sqrt3}{2}`, Yes}, {`\$32,\!348`, "32348", Yes}, {`$32,348`, "32348", Yes}, {"x**2", "x^2", Yes}, {"3*x + 2", "2+3x", Yes}, {`\log_{10} 2`, `\log 2`, Yes}, {`y=3+2x`, "y = 2x + 3", Yes},
	{`\left\{ x \in \mathbb{R} \mid x > 2 \right\}`, `(2,\infty)`, Yes}, {`\mathrm{C}`, "C", Yes}, {`\textbf{(B)}\ 12`, "B", Yes}, {`\text{(B)}`, `\text{B}`, Yes}, {`\frac{1}{2}\%`, "0.5%", Yes}, {`\dfrac{3}{4}\text{ cup}`, "3/4", Yes},
	{"1/2, 1/3", `\frac13, \frac12`, Yes}, {`2^{\frac{1}{2}}`, `\sqrt2`, Yes}, {`-\frac{1}{2}`, `\frac{-1}{2}`, Yes}, {`|x|<3`, "-3<x<3", Yes}, {`10^{-3}`, "0.001", Yes}, {`\frac{3\pi}{4}`, `\frac{3}{4}\pi`, Yes}, {`\angle ABC=60^\circ`, "60", Yes},
	{`(x-1)^2+(y+2)^2=9`, `x^2-2x+y^2+4y=4`, Yes}, {`y=x^2`, `x=y^2`, No}, {`\frac{x^2}{4}+\frac{y^2}{9}=1`, `9x^2+4y^2=36`, Yes}, {`2n+1`, "2k+1", No}, {`a^2b`, "ab^2", No}, {"12:00", "0:00", No}, {`f(x)=2x`, `f(x)=3x`, No},
	{`\frac{9}{2},3`, "3, 4.5", Yes}, {`6\sqrt{2}\text{ cm}`, `6\sqrt2\text{ m}`, No}, {`\frac{7!}{2}`, "2520", Yes}, {`i`, `\sqrt{-1}`, Yes}, {`\cos\theta+i\sin\theta`, `e^{i\theta}`, Yes}, {`4\text{ hours }30\text{ minutes}`, `4\text{ hours }30\text{ minutes}`, Yes},
	{`1+\frac{1}{2}+\frac14`, `\frac74`, Yes}, {`\sqrt[4]{16}`, "2", Yes}, {`3\frac{1}{7}`, `\frac{22}{7}`, Yes}, {`\vec{v}`, `\vec{w}`, No}, {`0.1\overline{23}`, `0.1232323\ldots`, Yes}, {`\text{none}`, `\emptyset`, Yes},
	// accidents that must not happen
	{"5", ".5", No}, {".5", "5", No}, {"360", `12\text{ hours }30\text{ minutes}`, Undecided}, {"x", "-x", No},
	{`x\leftarrow 3`, `x\rightarrow 3`, Undecided}, {"12", "1 2", Undecided}, {"1.2", "1,2", No}, {"2^3", "23", No}, {`\frac{1}{23}`, `\frac{12}{3}`, No}, {"3", "-(-3)", Yes},
	{`\sqrt{12}`, `\sqrt{1}2`, No}, {"x_{12}", "x_12", Yes}, {"(1,2)", "(1.2)", No}, {"1/2/3", "1/(2/3)", No}, {"-1^2", "1", No}, {"(-1)^2", "1", Yes}, {"2^{-1}", "-2", No}, {`\sin x`, "sinx", Yes}, {`\ln 2`, "1n 2", No},
	{"10", "ten", Yes}, {"1", "l", No}, {"0", "O", No}, {`\frac{a}{b}`, `\frac{b}{a}`, No}, {"a-b", "b-a", No}, {"x^2", "2x", No},
	{"1000", "1.000", No}, {`3+\sqrt{5}`, `3-\sqrt5`, No}, {"1e5", "10^5", Yes}, {"5", "5, 6", No},
	{"2", "2 or 3", No}, {`\pm2`, "2", No}, {"x>2", "2", No}, {"2", "x>2", No}, {"x=2", "x>2", No}, {"x=2", `x\ne2`, No},
	{"[1,2]", "1,2", Undecided}, {`\{1\}`, `\{1,2\}`, No}, {"(0,1)", "(0,1,0)", No}, {"a+b", "a+b+0", Yes}, {"|x|", "x", No}, {`\sqrt{x^2}`, "-x", No},
	{`\frac{x^2-1}{x-1}`, "x-1", No}, {`\ln(x^2)`, `2\ln x`, Yes}, {`\arcsin(\sin x)`, "x", No}, {"x^{1/3}", "x^3", No}, {`2\pi r`, `\pi r^2`, No}, {"n(n+1)/2", "n(n-1)/2", No}, {"100%", "100", Yes}, {"1%", "100", No},
	{`\text{12 cm}`, "12", Yes}, {`\text{A, C}`, "C, A", Yes}, {`\text{A, C}`, "A, B", No}, {`\frac12\text{ m}`, "0.5", Yes}, {`\frac12\,\mathrm{m}`, "0.5", Yes}, {`x\in\{1,2\}`, "2, 1", Yes},
	{"12.3", "12.34", No}, {`\frac{1}{64}`, "0.01563", No}, {`(1,3)\cup(2,4)`, "(1,4)", Yes}, {"1234", "(1,234)", No}, {`\begin{pmatrix}1/3\\2\end{pmatrix}`, "(0.3333,2)", Yes}, {"(1/3,2)", `\begin{pmatrix}0.3333\\2\end{pmatrix}`, Yes}, {`\begin{pmatrix}1&2\\3&4\end{pmatrix}`, "(1,2,3,4)", No},
	{`-\frac{1}{2} \text{ or } \frac{1}{2}`, `\pm\frac12`, Yes}, {"2x=4", "x=2", Yes}, {"1000000", "1 000 000", Yes}, {`\mathrm{Volkov}`, `\text{Volkov}`, Yes}, {`\text{June 20}`, "June 20", Yes}, {`\text{June 20}`, "June 21", No}, {`18\text{ minutes}`, "$$18$$ minutes", Yes}, {"1.5", "1,5", No},
	{"x=1,y=2", "$x = 1$ and $y=2$", Yes}, {"{2}", "2", Yes}, {`\frac{\sqrt{6}+\sqrt{2}}{4}`, `\sin 75^\circ`, Yes}, {`\frac{1}{3}`, `33\frac{1}{3}\%`, Yes}, {`2\sqrt{3}+4`, `4+\sqrt{12}`, Yes}, {"2.0", "2", Yes}, {`\boxed{3}`, "3", Yes}, {`3\cdot 2^{5}`, "96", Yes}, {`(2,\infty)`, `x>2`, Yes},
	{`\frac{3}{2}x^2`, `\frac{3x^2}{2}`, Yes}, {`\tfrac{1}{2}(x+y)`, `\frac{x+y}2`, Yes}, {"(x+2)(x+3)=0", "x^2+5x+6=0", Yes}, {"a_n=2n", "2n", Yes}, {"a_{n}=2n", "a_n = 2n", Yes}, {`\{-1,0,1\}`, "-1,0,1", Yes}, {`\text{A and B}`, "A, B", Yes}, {"6,8,10", "(6,8,10)", Yes},
	{`8\pi\text{ square inches}`, `8\pi`, Yes}, {`\approx 3.14`, "3.14", Yes}, {`9.8\,\mathrm{m/s^2}`, "9.8", Yes}, {`9.8\,\mathrm{m/s^2}`, `9.8\text{ m/s}^2`, Yes}, {`1.6\times10^{-19}\text{ C}`, `1.6\times10^{-19}`, Yes}, {`3\text{ kg}`, "3 kg", Yes}, {"3:4:5", "3 : 4 : 5", Yes}, {`n\geq 3`, `n \in [3,\infty)`, Yes},
	{`\frac12`, "0.5%", No}, {`\frac{100}{3}\%`, `\frac{100}{3}`, Yes}, {`\frac12`, "50%", Yes},
	// what cannot be read
	{`\foo{3}`, `\foo{3}`, Yes}, {`\foo{3}`, `\foo{4}`, Undecided}, {"3", `\foo{3}`, Undecided}, {"3", "((3", Undecided}, {"", "3", Undecided},
	{"3", "", No}, {`{"inputs": ["1"], "outputs": ["2"]}`, "2", Undecided}, {"10^{10^{10}}", "10^{10^{10}}", Yes}, {"10^{10^{10}}", "10^{10^{9}}", Undecided},
	{"1/0", "1/0", Yes}, {"1", "1/0", No},
}

func TestCases(t *testing.T) {
	for _, c := range cases {
		if v := Equal(c.gold, c.pred); v.Equal != c.want {
			t.Errorf("Equal(%q, %q) = %v (%s), want %v", c.gold, c.pred, v.Equal, v.Reason, c.want)
		}
	}
}

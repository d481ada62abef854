package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
)

//go:embed page.html.tmpl
var pageSource string

//go:embed blocks.html.tmpl
var blocksSource string

//go:embed traces.html.tmpl
var tracesSource string

//go:embed page.css
var pageStyle string

//go:embed traces.css
var tracesStyle string

//go:embed traces.js
var tracesScript string

// A page is XML too, where a script that has a < must be marked as text; in HTML the marks are comments.
var (
	style  = "\n" + pageStyle + tracesStyle
	script = "//<![CDATA[\n" + tracesScript + "//]]>\n"
)

// page is parsed once; a template cannot be changed after its first use.
var page = template.Must(template.Must(template.Must(template.New("page").Parse(pageSource)).Parse(blocksSource)).Parse(tracesSource))

// Style is what stands in the style element of a page that shows sections or traces.
func Style() string { return style }

// Script is what stands in the script element of such a page. It defines goprm.attach(element), which brings the traces of an element to
// life.
func Script() string { return script }

// Policy is the content security policy of a page that has that style and these scripts; they are allowed by their hashes, and nothing else
// is.
func Policy(style string, scripts ...string) string {
	policy := "default-src 'none'; style-src" + source(style) + "; script-src"
	for _, script := range scripts {
		policy += source(script)
	}
	return policy + "; base-uri 'none'; form-action 'none'"
}

// ServedPolicy is that of a page that asks its server and may not stand in a frame, which only a header can say.
func ServedPolicy(style string, scripts ...string) string {
	return Policy(style, scripts...) + "; connect-src 'self'; img-src data:; frame-ancestors 'none'"
}

func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

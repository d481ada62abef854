package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"strings"
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

// Source is how a content security policy allows an element with that text.
func Source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// policy allows the page's own style and script, and nothing else.
func policy() string {
	return strings.Join([]string{"default-src 'none'", "style-src " + Source(style), "script-src " + Source(script), "base-uri 'none'",
		"form-action 'none'"}, "; ")
}

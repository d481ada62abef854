package browsertest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/atomicfile"
)

// mostElements is how large a page axe-core looks at.
const mostElements = 6000

// Check looks at the page that is open, at the widths of a desk and a phone, in both color schemes and in print: nothing may be wider than
// the page, nothing may stand in the console, and axe-core may find nothing serious. name names the screenshots.
func (p *Page) Check(name string) {
	t := p.t
	t.Helper()
	axe := axeSource(t)
	var size int
	if p.Eval("document.body.querySelectorAll('*').length", &size); axe != "" && size > mostElements {
		t.Logf("%s: axe-core is not run on %d elements, which takes minutes", name, size)
		axe = ""
	}
	// What is out of sight is drawn too, to be seen on screenshots and by axe-core.
	p.Eval(`(() => {
		const s = new CSSStyleSheet();
		s.replaceSync("* { content-visibility: visible !important; }");
		document.adoptedStyleSheets.push(s);
	})()`, nil)
	for _, width := range []int{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			p.View(width, scheme, "screen")
			var wide int
			p.Eval("new Promise(r => requestAnimationFrame(() => r(document.documentElement.scrollWidth)))", &wide)
			if wide > width {
				t.Errorf("%s: %d pixels wide on a page of %d", name, wide, width)
			}
			p.Screenshot(fmt.Sprintf("%s-%d-%s", name, width, scheme))
			if axe != "" {
				for _, finding := range p.axe(axe) {
					t.Errorf("%s, %d pixels, %s: %s", name, width, scheme, finding)
				}
			}
		}
	}
	p.View(794, "dark", "print") // the width of A4; paper is white whatever the scheme
	p.Screenshot(name + "-print")
	var paper string
	p.Eval("getComputedStyle(document.body).backgroundColor", &paper)
	if paper != "rgb(255, 255, 255)" {
		t.Errorf("%s is printed on %s", name, paper)
	}
	if pdf := p.PDF(); len(pdf) < 1000 || !bytes.HasPrefix(pdf, []byte("%PDF")) {
		t.Errorf("%s: printing gives %d bytes", name, len(pdf))
	}
	p.View(1280, "light", "screen")
	for _, problem := range p.Problems() {
		t.Errorf("%s: in the console: %s", name, problem)
	}
}

// axe lists what axe-core finds serious or critical.
func (p *Page) axe(source string) []string {
	p.t.Helper()
	loaded := false
	if p.Eval("typeof axe === 'object'", &loaded); !loaded {
		p.Eval(source+"; 0", nil)
	}
	var findings []struct {
		ID, Impact, Help string
		Nodes            []struct {
			HTML           string
			FailureSummary string
		}
	}
	p.Eval("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)", &findings)
	var list []string
	for _, f := range findings {
		if f.Impact != "serious" && f.Impact != "critical" || len(f.Nodes) == 0 {
			continue
		}
		n := f.Nodes[0]
		list = append(list, fmt.Sprintf("axe-core, %s: %s, %d times, first %.300s: %.300s", f.ID, f.Help, len(f.Nodes), n.HTML, n.FailureSummary))
	}
	return list
}

// axeVersion is the package of the npm registry that pages are checked with.
const axeVersion = "4.10.2"

// userCache is the user's, not what testcache puts in its place later.
var userCache, errUserCache = os.UserCacheDir()

// axeSource is axe-core's script, downloaded once to the user's cache; "" if it cannot be had, or if no browser is required, since it
// takes seconds a page.
func axeSource(t testing.TB) string {
	t.Helper()
	if !Required() {
		return ""
	}
	cache, err := userCache, errUserCache
	if err != nil {
		t.Logf("axe-core is not run: %v", err)
		return ""
	}
	path := filepath.Join(cache, "goprm", "axe-core-"+axeVersion+".min.js")
	text, err := os.ReadFile(path)
	if err == nil {
		return string(text)
	}
	if text, err = downloadAxe(t.TempDir()); err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = atomicfile.WriteFile(path, func(w io.Writer) error { _, err := w.Write(text); return err })
	}
	if err != nil {
		t.Logf("axe-core is not run: %v", err)
	}
	return string(text)
}

func downloadAxe(dir string) ([]byte, error) {
	c := exec.Command("npm", "pack", "--json", "axe-core@"+axeVersion)
	c.Dir = dir
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("npm pack: %w", err)
	}
	var packed []struct{ Filename string }
	if err := json.Unmarshal(out, &packed); err != nil || len(packed) != 1 {
		return nil, fmt.Errorf("npm pack printed %.100q", out)
	}
	file, err := os.Open(filepath.Join(dir, filepath.Base(packed[0].Filename)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the package has no axe.min.js")
		}
		if err != nil {
			return nil, err
		}
		if header.Name == "package/axe.min.js" {
			return io.ReadAll(io.LimitReader(r, 4<<20))
		}
	}
}

// Package hub knows how people name what lies on the Hugging Face hub, to say how it is fetched: goprm downloads nothing.
package hub

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// Kind is what is looked for.
type Kind string

// The kinds of repository.
const (
	Model   Kind = "model"
	Dataset Kind = "dataset"
)

var (
	id      = regexp.MustCompile(`^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$`)
	bare    = regexp.MustCompile(`^[A-Za-z0-9][\w.-]{0,95}$`)
	host    = regexp.MustCompile(`^(https?://)?(www\.)?(huggingface\.co|hf\.co)/|^hf://`)
	section = regexp.MustCompile(`^(models|datasets)/`)
	page    = regexp.MustCompile(`/(tree|blob|resolve|raw|commit)/([^/?#]+).*$`)
)

// IsID tells whether text has the form OWNER/NAME.
func IsID(text string) bool { return id.MatchString(text) }

// Advice says what to do about a path that leads nowhere: how to fetch it, if it is written as something on the hub is (an id, with a
// revision behind @, an address, a folder of the hub's cache), that the shell's ~ and $ are not expanded, or "".
func Advice(path string, kind Kind) string {
	name, revision, address := path, "", host.FindString(path)
	name = strings.TrimRight(strings.TrimPrefix(name, address), "/")
	if s := section.FindString(name); address != "" && s != "" {
		name = name[len(s):]
		kind = map[string]Kind{"models/": Model, "datasets/": Dataset}[s]
	}
	if m := page.FindStringSubmatch(name); address != "" && m != nil {
		name, revision = strings.TrimSuffix(name, m[0]), m[2]
	}
	name, _, _ = strings.Cut(name, "?")
	if before, after, ok := strings.Cut(name, "@"); ok && bare.MatchString(after) {
		name, revision = before, after
	}
	if folder, ok := strings.CutPrefix(name, "models--"); ok {
		name = strings.Replace(folder, "--", "/", 1)
	}
	switch {
	case strings.HasPrefix(path, "~") || strings.Contains(path, "$"):
		return "a path is taken as it is written: ~ and $ are the shell's, outside of quotes"
	case IsID(name) || address != "" && bare.MatchString(name):
		said := "if it is a " + string(kind) + " of the Hugging Face hub, fetch it with: hf download "
		if kind == Dataset {
			said += "--repo-type dataset "
		}
		if revision != "" && revision != "main" {
			name += " --revision " + revision
		}
		return said + name + " --local-dir " + filepath.Base(strings.Fields(name)[0])
	case bare.MatchString(name) && kind == Model:
		return "a model of the Hugging Face hub is fetched with: hf download OWNER/" + name + " --local-dir " + name
	}
	return ""
}

// missing is a path that leads nowhere; it is an fs.ErrNotExist.
type missing string

func (m missing) Error() string { return string(m) }
func (missing) Unwrap() error   { return fs.ErrNotExist }

// Missing is an error about a path that leads nowhere, where what ("folder", "file") was expected.
func Missing(path string, kind Kind, what string) error {
	said := path + ": no such " + what
	if strings.HasPrefix(path, "s3://") {
		return missing(said + " on this machine; a bucket is not read for this, copy it first")
	}
	if advice := Advice(path, kind); advice != "" {
		said += "; " + advice
	}
	return missing(said)
}

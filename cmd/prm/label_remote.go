package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/remote"
)

// labelFolder is an output folder of prm label. One in a bucket is worked on in a local folder, which is stored at the end of the command,
// whatever the end is: the answers that were paid for, and where the labels are whole these.
type labelFolder struct {
	url   string // "": it is local
	local string
}

// taggedName holds, beside the store, the ETag of the object that it goes on from.
const taggedName = "labels.db.etag"

// openLabelFolder makes the local folder. Its store is what a run that was killed here has left, else what lies in the bucket.
func (p *program) openLabelFolder(out string) (labelFolder, error) {
	if !remote.Is(out) {
		return labelFolder{local: out}, nil
	}
	f := labelFolder{url: strings.TrimSuffix(out, "/")}
	var err error
	if f.local, err = remote.Unfinished(f.url); err == nil {
		err = os.MkdirAll(f.local, 0o700)
	}
	if err != nil {
		return f, err
	}
	tag, err := remote.Tag(f.object(label.StorePath("")))
	if err != nil || tag == "" {
		return f, err
	}
	db, tagged := label.StorePath(f.local), filepath.Join(f.local, taggedName)
	if _, err := os.Stat(db); err == nil {
		if from, err := os.ReadFile(tagged); err == nil && string(from) == tag {
			return f, nil // it has all that the bucket's has, and more
		}
		aside, err := os.MkdirTemp(f.local, "aside-")
		if err == nil {
			aside = filepath.Join(aside, filepath.Base(db))
			err = os.Rename(db, aside)
		}
		if err != nil {
			return f, err
		}
		p.console.Warnf("%s went on elsewhere since a run ended here; what that one had stored is kept as %s", f.url, aside)
	}
	if err := remote.Fetch(f.object(filepath.Base(db)), db); err != nil {
		return f, err
	}
	return f, os.WriteFile(tagged, []byte(tag), 0o600)
}

// object is the address of a file of the folder, or its path.
func (f labelFolder) object(name string) string {
	if f.url == "" {
		return filepath.Join(f.local, name)
	}
	return f.url + "/" + name
}

// keep stores the folder, its labels only if they are whole; the manifest comes last, since it names them by their hashes.
func (f labelFolder) keep(whole bool) error {
	if f.url == "" {
		return nil
	}
	names := []string{filepath.Base(label.StorePath(""))}
	if whole {
		names = append(names, label.LabelsFile, label.ParquetFile, label.CardFile, label.ManifestFile)
	}
	for _, name := range names {
		local := filepath.Join(f.local, name)
		if _, err := os.Stat(local); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := remote.Put(f.object(name), local, true); err != nil {
			return fmt.Errorf("%w; what this run has stored lies in %s: the same command on this machine goes on with it", err, f.local)
		}
	}
	if left, err := filepath.Glob(filepath.Join(f.local, "aside-*")); err != nil || len(left) > 0 {
		return errors.Join(err, os.Remove(label.StorePath(f.local)))
	}
	return os.RemoveAll(filepath.Dir(f.local))
}

// labelFolders are local folders for those that the paths stand for.
func labelFolders(paths []string) ([]string, error) {
	all, err := remote.Expand(paths)
	for i := 0; err == nil && i < len(all); i++ {
		all[i], err = remote.Folder(all[i])
	}
	return all, err
}

package modelfolder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/lfspointer"
)

// TokenizerFiles are what a model folder may hold besides its weights that text depends on, and what is copied with a model.
var TokenizerFiles = []string{
	"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "vocab.json",
	"merges.txt",
}

// TextFiles are those that say nothing of how text is cut into tokens.
var TextFiles = []string{"tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"}

// HashTokenizer is the SHA-256 over the files that turn text into tokens, those that are missing left out: of each its
// name, a zero byte and its own SHA-256.
func HashTokenizer(dir string) (string, error) {
	var there []string
	for _, name := range TokenizerFiles[:5] {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			there = append(there, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return HashFiles(dir, there)
}

// verifyFiles compares the folder's weights with the SHA-256 that its card keeps.
func (c *Card) verifyFiles(dir string) error {
	if c.Files == nil {
		return nil
	}
	needed := map[string][]string{StoresModel: {hfmodel.SingleName}, StoresHead: {HeadName}, StoresAdapter: {HeadName, AdapterName}}[c.Stores]
	for _, name := range needed {
		if c.Files[name] == "" {
			return fmt.Errorf("%s: files: %s is missing", filepath.Join(dir, CardName), name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		path := filepath.Join(dir, name)
		if filepath.Base(name) != name {
			return fmt.Errorf("%s: files: %q is no file of this folder", filepath.Join(dir, CardName), name)
		}
		sum, err := HashFile(path)
		if err != nil {
			return err
		}
		if found := hex.EncodeToString(sum); found != c.Files[name] {
			err := fmt.Errorf("%s: damaged or changed: its SHA-256 is %s, %s says %s", path, found, CardName, c.Files[name])
			return lfspointer.Explain(path, err)
		}
	}
	return nil
}

// HashFiles reads the files instead of mapping them, so that hashing a large model keeps none of it in memory.
func HashFiles(dir string, names []string) (string, error) {
	total := sha256.New()
	for _, name := range names {
		sum, err := HashFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		WriteString(total, name)
		_, _ = total.Write(sum)
	}
	return hex.EncodeToString(total.Sum(nil)), nil
}

func HashFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	_, err = io.CopyBuffer(sum, file, make([]byte, 1<<20))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sum.Sum(nil), nil
}

// WriteString adds a text with its end marked. A hash's Write never fails.
func WriteString(h hash.Hash, s string) { _, _ = h.Write(append([]byte(s), 0)) }

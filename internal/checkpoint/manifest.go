package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/internal/onekey"
)

const (
	manifestName = "manifest.json"
	// formatVersion changes whenever an older program would misread the folder.
	formatVersion = 1
	// maxManifestBytes bounds what is read before anything is verified.
	maxManifestBytes = 64 << 20
)

// manifest lists what a checkpoint holds. It is the last file written.
type manifest struct {
	Format int              `json:"format"`
	Step   int              `json:"step"`
	Files  map[string]Entry `json:"files"`
	Meta   json.RawMessage  `json:"meta"`
	// Checksum is the SHA-256 of this struct's compact JSON with an empty Checksum, so that a damaged step or meta shows as well.
	Checksum string `json:"checksum"`
}

// Entry is what the manifest says of a file.
type Entry struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func (m manifest) checksum() (string, error) {
	m.Checksum = ""
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// encode returns the manifest's text with its checksum.
func (m manifest) encode() ([]byte, error) {
	var err error
	if m.Checksum, err = m.checksum(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", " ")
	return append(text, '\n'), err
}

// readManifest reads a checkpoint folder's manifest and checks it against itself, but not yet against the files.
func readManifest(dir string) (*manifest, error) {
	text, err := readAtMost(filepath.Join(dir, manifestName), maxManifestBytes)
	if err != nil {
		return nil, err
	}
	return parseManifest(text)
}

func parseManifest(text []byte) (*manifest, error) {
	// Asked first and leniently: a later format may have fields that this one does not know.
	var version struct {
		Format *int `json:"format"`
	}
	if err := onekey.Unmarshal(text, &version); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	if version.Format == nil {
		return nil, fmt.Errorf("%s: no format version", manifestName)
	}
	if *version.Format != formatVersion {
		return nil, fmt.Errorf("%s: format version %d, this program reads version %d", manifestName, *version.Format, formatVersion)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var m manifest
	if err := decoder.Decode(&m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	want, err := m.checksum()
	if err != nil {
		return nil, err
	}
	if m.Checksum != want {
		return nil, fmt.Errorf("%s: damaged: its content does not match its checksum", manifestName)
	}
	for name := range m.Files {
		if !plainName(name) {
			return nil, fmt.Errorf("%s: %q is not a plain file name", manifestName, name)
		}
	}
	return &m, nil
}

func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && name != manifestName && filepath.Base(name) == name
}

func readAtMost(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", filepath.Base(path), limit)
	}
	return os.ReadFile(path)
}

// verify checks one file of a checkpoint folder.
func (e Entry) verify(dir, name string) error {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: missing", name)
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", name)
	}
	if info.Size() != e.Size {
		return fmt.Errorf("%s: %d bytes, the manifest says %d", name, info.Size(), e.Size)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%s: damaged: its SHA-256 is not the manifest's", name)
	}
	return nil
}

package label

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/onekey"
)

// The files of an output folder, beside the store.
const (
	LabelsFile   = "labels.jsonl"
	ParquetFile  = "labels.parquet"
	ManifestFile = "manifest.json"
	CardFile     = "README.md"
)

// Manifest says what labels.jsonl was made of. Two runs with the same manifest have the same labels.
type Manifest struct {
	Format int `json:"format"` // 1
	// Input is the SHA-256 of the input's rows as they were cut, in their order, in all shards.
	Input  string `json:"input"`
	Shard  int    `json:"shard"`
	Shards int    `json:"shards"`

	Split      string    `json:"split"`
	Pairing    Pairing   `json:"pairing"`
	Coherence  Coherence `json:"coherence"`
	Fusion     Fusion    `json:"fusion"`
	Parts      []Part    `json:"parts"`
	Trajectory Final     `json:"trajectory"`
	Seed       uint64    `json:"seed"`

	Encoder   string `json:"encoder,omitempty"`
	Judge     string `json:"judge,omitempty"`
	Sees      Sees   `json:"sees,omitempty"`
	Templater string `json:"templater,omitempty"`
	Policy    string `json:"policy,omitempty"`
	Verifier  string `json:"verifier,omitempty"`
	// Pool is the SHA-256 of the steps that negatives were drawn from.
	Pool     string `json:"pool,omitempty"`
	PoolSize int    `json:"pool_size,omitempty"`

	Summary Summary `json:"summary"`
	// Files are those that the labels lie in.
	Files map[string]File `json:"files"`
}

// File is a file's size and SHA-256.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (p Pipeline) manifest(input string, pool *pool, s Summary) Manifest {
	m := Manifest{
		Format: 1, Input: input, Shard: p.Shard, Shards: p.Shards, Split: p.Split, Pairing: p.Pairing, Coherence: p.Coherence, Fusion: p.Fusion,
		Parts: p.Parts, Trajectory: p.Final, Seed: p.Seed, Summary: s,
	}
	if p.Encoder != nil {
		m.Encoder = p.Encoder.ID()
	}
	if p.Judge != nil {
		m.Judge, m.Sees = p.Judge.ID(), p.Judge.Sees()
	}
	if p.Final.Kind != NoFinal {
		m.Verifier = p.Verifier.ID()
	}
	if p.Final.sampled() {
		m.Templater, m.Policy = p.Templater.ID(), p.Policy.ID()
	}
	if pool != nil {
		m.Pool, m.PoolSize = pool.hash, len(pool.items)
	}
	return m
}

// export writes an output folder.
type export struct {
	dir     string
	summary Summary
	lines   *hashed
	parquet *data.ParquetWriter
}

func newExport(dir string) *export { return &export{dir: dir, summary: newSummary()} }

// hashed hashes and counts what is written through it.
type hashed struct {
	io.Writer
	bytes int64
	hash  hash.Hash
}

func (h *hashed) Write(b []byte) (int, error) {
	n, err := h.Writer.Write(b)
	_, _ = h.hash.Write(b[:n]) // a hash's Write never fails
	h.bytes += int64(n)
	return n, err
}

// add writes a row.
func (e *export) add(row *Row) error {
	e.summary.add(row)
	if err := row.Trajectory.Write(e.lines); err != nil {
		return err
	}
	if e.parquet == nil {
		return nil
	}
	return e.parquet.Write(row.Trajectory)
}

// write makes the files of the folder, which exists: the labels from the rows that rows adds, the manifest and the card. The manifest names
// the labels by their hash, so files of two runs cannot be taken for one.
func (e *export) write(rows func() error, manifest func() Manifest) (err error) {
	files := atomicfile.NewBatch()
	defer func() { err = errors.Join(err, files.Abort()) }()
	whole := map[string]*hashed{}
	names := []string{LabelsFile}
	if data.HasParquet() {
		names = append(names, ParquetFile)
	}
	for _, name := range names {
		w, err := files.Create(filepath.Join(e.dir, name))
		if err != nil {
			return err
		}
		whole[name] = &hashed{Writer: w, hash: sha256.New()}
	}
	e.lines = whole[LabelsFile]
	if w := whole[ParquetFile]; w != nil {
		e.parquet = data.NewParquetWriter(w)
	}
	if err := rows(); err != nil {
		return err
	}
	if e.parquet != nil {
		if err := e.parquet.Close(); err != nil {
			return err
		}
	}
	m := manifest()
	m.Files = map[string]File{}
	for name, h := range whole {
		m.Files[name] = File{h.bytes, hex.EncodeToString(h.hash.Sum(nil))}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{{ManifestFile, string(text) + "\n"}, {CardFile, card(m)}} {
		if err := files.WriteFile(filepath.Join(e.dir, f.name), func(w io.Writer) error {
			_, err := io.WriteString(w, f.text)
			return err
		}); err != nil {
			return err
		}
	}
	return files.Commit()
}

// ReadManifest reads the manifest of an output folder.
func ReadManifest(dir string) (Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	var m Manifest
	const limit = 1 << 20
	text, err := onekey.ReadFile(path, limit)
	if err != nil {
		return m, err
	}
	if err := onekey.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	if m.Format != 1 {
		return m, fmt.Errorf("%s: format %d is not known, only 1", path, m.Format)
	}
	return m, nil
}

// check compares a file of the folder with what the manifest says of it.
func (m Manifest) check(dir, name string) error {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	got := hashed{Writer: io.Discard, hash: sha256.New()}
	_, err = io.Copy(&got, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	want, sum := m.Files[name], hex.EncodeToString(got.hash.Sum(nil))
	if got.bytes != want.Bytes || sum != want.SHA256 {
		return fmt.Errorf("%s: has %d bytes with the SHA-256 %s, %s says %d and %s: it was changed, or a run ended while it wrote the folder; "+
			"the same labelling command writes both again", path, got.bytes, sum, ManifestFile, want.Bytes, want.SHA256)
	}
	return nil
}

package label

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"github.com/goprm/goprm/data"
)

// Vectors is an encoder that looks up vectors computed elsewhere.
type Vectors struct {
	id      string
	vectors map[[sha256.Size]byte][]float32
}

var _ Encoder = (*Vectors)(nil)

// ReadVectors reads a file of lines {"text": …, "vector": […]} or, with the hexadecimal SHA-256 of the text in its place,
// {"sha256": …, "vector": […]}. All of it is held in memory.
func ReadVectors(path string) (*Vectors, error) {
	v := &Vectors{vectors: map[[sha256.Size]byte][]float32{}}
	all := sha256.New()
	length := 0
	for line, err := range data.Lines([]string{path}, data.ReadOptions{Stdin: os.Stdin}) {
		if err != nil {
			return nil, err
		}
		_, _ = all.Write(line.Text) // a hash's Write never fails
		var row struct {
			Text   *string   `json:"text"`
			SHA256 string    `json:"sha256"`
			Vector []float32 `json:"vector"`
		}
		fail := func(format string, args ...any) (*Vectors, error) {
			return nil, fmt.Errorf("%s:%d: %w", line.File, line.Number, fmt.Errorf(format, args...))
		}
		if err := json.Unmarshal(line.Text, &row); err != nil {
			return fail("%w", err)
		}
		var key [sha256.Size]byte
		switch {
		case (row.Text == nil) == (row.SHA256 == ""):
			return fail("it needs text or sha256, and not both")
		case row.Text != nil:
			key = sha256.Sum256([]byte(*row.Text))
		default:
			b, err := hex.DecodeString(row.SHA256)
			if err != nil || len(b) != len(key) {
				return fail("sha256 %.80q is not a SHA-256 in hexadecimal", row.SHA256)
			}
			key = [sha256.Size]byte(b)
		}
		if length == 0 {
			length = len(row.Vector)
		}
		norm := 0.0
		for _, x := range row.Vector {
			norm += float64(x) * float64(x)
		}
		switch {
		case len(row.Vector) == 0 || len(row.Vector) != length:
			return fail("a vector of %d numbers, where the first has %d", len(row.Vector), length)
		case norm == 0 || math.IsInf(norm, 0):
			return fail("the vector has no direction")
		}
		v.vectors[key] = row.Vector
	}
	v.id = "file/1 sha256=" + hex.EncodeToString(all.Sum(nil))
	return v, nil
}

// ID is the hash of the file's lines.
func (v *Vectors) ID() string { return v.id }

// Encode looks the texts up. One that is not there is an error.
func (v *Vectors) Encode(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, len(texts))
	for i, text := range texts {
		found := false
		if out[i], found = v.vectors[sha256.Sum256([]byte(text))]; !found {
			return nil, unknownText(text)
		}
	}
	return out, ctx.Err()
}

type unknownText string

func (e unknownText) Error() string {
	return fmt.Sprintf("the file of vectors lacks the text %.60q", string(e))
}

// Short is the reason without the text, for counting.
func (unknownText) Short() string { return "the file of vectors lacks a text" }

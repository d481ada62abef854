package prm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/checkpoint"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// featureFormat changes whenever the same key would stand for other numbers.
const featureFormat = 1

// featureFile and featureTensor name what a cache folder holds.
const (
	featureFile   = "features.safetensors"
	featureTensor = "features"
)

// features are the trunk's hidden states at every read-out of some examples, [rows, hidden] in the dtype of parameters,
// mapped from the cache. A trunk that does not learn gives the same ones in every epoch.
type features struct {
	file   *safetensors.File
	rows   []byte
	width  int                   // bytes of a row
	first  map[*data.Example]int // row of an example's first read-out
	hidden int
	dtype  safetensors.DType
}

// Close unmaps the rows.
func (f *features) Close() error { return f.file.Close() }

// row is the hidden state of one read-out.
func (f *features) row(e *data.Example, read int) []byte {
	at := (f.first[e] + read) * f.width
	return f.rows[at : at+f.width]
}

// micro adds the rows that a batch of the listed examples reads.
func (f *features) micro(b *data.Batch, list []*data.Example) nnet.Micro {
	rows := make([]byte, 0, len(b.Reads)*f.width)
	for i := range b.Reads {
		rows = append(rows, f.row(list[b.Trajectory[i]], int(b.Read[i]))...)
	}
	return nnet.Micro{Batch: b, Features: rows}
}

// values are the rows as float64, one after another.
func (f *features) values(dst []float64, e *data.Example, read int) ([]float64, error) {
	return safetensors.AppendFloat64(dst, safetensors.Info{DType: f.dtype, Shape: []int{f.hidden}, End: int64(f.width)}, f.row(e, read))
}

// featureCache finds hidden states by everything that determines them.
type featureCache struct {
	dir        string // the cache's folder
	weights    string // what the trunk is
	backend    string
	arithmetic string            // dtype of the trunk's arithmetic
	dtype      safetensors.DType // of the rows
	hidden     int
	tokens     int // of a micro-batch
	warn       func(format string, args ...any)
	tell       func(done, total int)
}

// cacheDir is where hidden states are kept unless the configuration says otherwise.
func cacheDir(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache: %w; name a folder", err)
	}
	return filepath.Join(user, "goprm"), nil
}

// key is the SHA-256 of all that the rows depend on.
func (c *featureCache) key(list []*data.Example) string {
	sum := sha256.New()
	modelfolder.WriteString(sum, fmt.Sprintf("goprm features %d", featureFormat))
	modelfolder.WriteString(sum, c.weights)
	modelfolder.WriteString(sum, c.backend)
	modelfolder.WriteString(sum, c.arithmetic)
	modelfolder.WriteString(sum, string(c.dtype))
	var buffer []byte
	for _, e := range list {
		buffer = binary.LittleEndian.AppendUint64(buffer[:0], uint64(len(e.Tokens)))
		buffer = binary.LittleEndian.AppendUint64(buffer, uint64(len(e.Reads)))
		for _, id := range e.Tokens {
			buffer = binary.LittleEndian.AppendUint32(buffer, uint32(id))
		}
		for _, r := range e.Reads {
			buffer = binary.LittleEndian.AppendUint32(buffer, uint32(r.Pos))
		}
		for _, begin := range e.Windows {
			buffer = binary.LittleEndian.AppendUint64(buffer, uint64(begin))
		}
		_, _ = sum.Write(buffer) // a hash's Write never fails
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// get returns the rows of the examples: from the cache, or computed by the network that open makes, and then cached.
func (c *featureCache) get(ctx context.Context, list []*data.Example, open func() (*nnet.Network, error)) (*features, error) {
	root := filepath.Join(c.dir, "features", c.key(list))
	skip := func(name, reason string) { c.warn("hidden states in %s/%s are computed again: %s", root, name, reason) }
	found, err := checkpoint.Newest(root, skip)
	if err == nil {
		f, err := c.open(found.Dir(), list)
		if err == nil {
			return f, nil
		}
		c.warn("hidden states in %s are computed again: %v", found.Dir(), err)
	} else if !errors.Is(err, checkpoint.ErrNone) {
		return nil, fmt.Errorf("cache: %w", err)
	}
	network, err := open()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o777); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	file := checkpoint.File{Name: featureFile, Write: func(w io.Writer) error { return c.write(ctx, w, list, network) }}
	if err := checkpoint.Save(root, 0, nil, []checkpoint.File{file}, checkpoint.Keep{}); err != nil {
		return nil, fmt.Errorf("hidden states: %w", err)
	}
	found, err = checkpoint.Newest(root, skip)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return c.open(found.Dir(), list)
}

func (c *featureCache) open(dir string, list []*data.Example) (*features, error) {
	file, err := safetensors.Open(filepath.Join(dir, featureFile))
	if err != nil {
		return nil, err
	}
	f := &features{file: file, hidden: c.hidden, dtype: c.dtype, width: c.hidden * int(c.dtype.Size()), first: map[*data.Example]int{}}
	rows := 0
	for _, e := range list {
		f.first[e] = rows
		rows += len(e.Reads)
	}
	info, ok := file.Info(featureTensor)
	if !ok || info.DType != c.dtype || info.Bytes() != int64(rows)*int64(f.width) {
		return nil, errors.Join(fmt.Errorf("%s: does not hold %d rows of %d", file.Path(), rows, c.hidden), file.Close())
	}
	f.rows = file.Bytes(featureTensor)
	return f, nil
}

// chunkBytes bounds the rows that are held in memory while they are computed.
const chunkBytes = 256 << 20

func (c *featureCache) write(ctx context.Context, w io.Writer, list []*data.Example, network *nnet.Network) error {
	rows := 0
	for _, e := range list {
		rows += len(e.Reads)
	}
	tensor := safetensors.Tensor{Name: featureTensor, DType: c.dtype, Shape: []int{rows, c.hidden}}
	tensor.Write = func(w io.Writer) error {
		width, done := c.hidden*int(c.dtype.Size()), 0
		for lo := 0; lo < len(list); {
			hi, chunk := lo, 0
			for hi < len(list) && (hi == lo || (chunk+len(list[hi].Reads))*width <= chunkBytes) {
				chunk += len(list[hi].Reads)
				hi++
			}
			tell := func(examples int) { c.tell(done+examples, len(list)) }
			block, err := c.compute(ctx, list[lo:hi], chunk*width, network, tell)
			if err != nil {
				return err
			}
			if _, err := w.Write(block); err != nil {
				return err
			}
			done += hi - lo
			lo = hi
		}
		return nil
	}
	return safetensors.Write(w, []safetensors.Tensor{tensor}, nil)
}

// compute runs the trunk over some examples and returns their rows in order.
func (c *featureCache) compute(ctx context.Context, list []*data.Example, size int, network *nnet.Network, tell func(int)) ([]byte, error) {
	batches, err := packShared(list, c.tokens, network.Spec().Config)
	if err != nil {
		return nil, err
	}
	width, first := c.hidden*int(c.dtype.Size()), make([]int, len(list))
	for i := 1; i < len(list); i++ {
		first[i] = first[i-1] + len(list[i-1].Reads)
	}
	block := make([]byte, size)
	for n, b := range batches {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := network.Features(ctx, b)
		if err != nil {
			return nil, err
		}
		for i := range b.Reads {
			at := (first[b.Trajectory[i]] + int(b.Read[i])) * width
			copy(block[at:at+width], rows[i*width:])
		}
		tell(len(list) * (n + 1) / len(batches))
	}
	return block, nil
}

// packShared packs for scoring, with common beginnings stored once where that saves at least a tenth of the tokens and the
// model allows it; no score depends on it.
func packShared(list []*data.Example, tokens int, config *hfmodel.Config) ([]*data.Batch, error) {
	if config.SlidingWindow > 0 {
		return data.PackAll(list, tokens)
	}
	tree, err := data.PackTree(list, tokens)
	if err != nil {
		return nil, err
	}
	all, shared := 0, 0
	for _, e := range list {
		all += len(e.Tokens)
	}
	for _, b := range tree {
		shared += len(b.Tokens)
	}
	if shared*10 <= all*9 {
		return tree, nil
	}
	return data.PackAll(list, tokens)
}

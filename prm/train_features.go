package prm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/filelock"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// featureFormat changes whenever the same key would stand for other numbers.
const featureFormat = 3

// features are the trunk's hidden states at every read-out of some examples, in the dtype of parameters, mapped from the cache. A trunk
// that does not learn gives the same ones in every epoch.
type features struct {
	shards []*safetensors.File
	rows   map[*data.Example]storedRows
	width  int // bytes of a row
	hidden int
	dtype  safetensors.DType
}

// storedRows are the hidden states of one example in their shard.
type storedRows struct {
	bytes    []byte // [read-outs, hidden]
	key, sum string // see checksum
	shard    string
}

// Close unmaps the rows.
func (f *features) Close() error {
	var failed []error
	for _, s := range f.shards {
		failed = append(failed, s.Close())
	}
	return errors.Join(failed...)
}

// check reports that an example's rows are not what was found. Times say nothing: every run that uses a shard touches it.
func (f *features) check(e *data.Example) error {
	if r := f.rows[e]; checksum(r.key, r.bytes) != r.sum {
		return fmt.Errorf("%s: changed while it was in use; the next run computes its hidden states again", r.shard)
	}
	return nil
}

// row is the hidden state of one read-out.
func (f *features) row(e *data.Example, read int) []byte {
	return f.rows[e].bytes[read*f.width : (read+1)*f.width]
}

// micro adds the rows that a batch of the listed examples reads.
func (f *features) micro(b *data.Batch, list []*data.Example) (nnet.MicroBatch, error) {
	rows := make([]byte, 0, len(b.Reads)*f.width)
	for i, at := range b.Trajectory {
		if i == 0 || at != b.Trajectory[i-1] {
			if err := f.check(list[at]); err != nil {
				return nnet.MicroBatch{}, err
			}
		}
		rows = append(rows, f.row(list[at], int(b.Read[i]))...)
	}
	return nnet.MicroBatch{Batch: b, Features: rows}, nil
}

// values are the rows as float64, one after another.
func (f *features) values(dst []float64, e *data.Example, read int) ([]float64, error) {
	return safetensors.AppendFloat64(dst, safetensors.Info{DType: f.dtype, Shape: []int{f.hidden}, End: int64(f.width)}, f.row(e, read))
}

// featureCache finds hidden states by everything that determines them: a folder for each trunk, in it shards with the rows of some
// examples. Any number of processes may use a folder; one at a time computes, and the others wait for what it finds.
type featureCache struct {
	dir        string // the cache's folder
	weights    string // what the trunk is
	backend    string
	arithmetic string            // dtype of the trunk's arithmetic
	dtype      safetensors.DType // of the rows
	hidden     int
	tokens     int // of a micro-batch
	ranks      *dist.Group
	warn, info func(format string, args ...any)
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

// featuresName is the folder of all hidden states in a cache.
const featuresName = "features"

// folder is where the rows of this trunk and arithmetic lie: those of all backends with the same bits in one.
func (c *featureCache) folder() string {
	sum := sha256.New()
	format := fmt.Sprintf("goprm features %d", featureFormat)
	kernels := engine.BitsOf(c.backend, c.arithmetic)
	for _, s := range []string{format, c.weights, kernels, c.arithmetic, string(c.dtype), fmt.Sprint(c.hidden)} {
		modelfolder.WriteString(sum, s)
	}
	return filepath.Join(c.dir, featuresName, hex.EncodeToString(sum.Sum(nil)))
}

// featureKey is the SHA-256 of what an example's rows depend on besides the trunk: its tokens, where it is read, and its windows.
func featureKey(e *data.Example) string {
	buffer := binary.LittleEndian.AppendUint64(nil, uint64(len(e.Tokens)))
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
	sum := sha256.Sum256(buffer)
	return hex.EncodeToString(sum[:])
}

// wanted are the examples whose rows are looked for, by key; equal ones share theirs.
type wanted map[string][]*data.Example

// get returns the rows of the examples: from the cache, and where it has none computed by the network that open makes, and then cached.
// When the context ends, what was computed stays in the cache.
func (c *featureCache) get(ctx context.Context, list []*data.Example, open func() (*nnet.Network, error)) (*features, error) {
	f := &features{rows: map[*data.Example]storedRows{}, hidden: c.hidden, dtype: c.dtype, width: c.hidden * int(c.dtype.Size())}
	missing := wanted{}
	for _, e := range list {
		key := featureKey(e)
		missing[key] = append(missing[key], e)
	}
	err := c.fill(ctx, f, missing, open)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("the cache %s lost rows while they were written", c.folder())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fill takes rows out of missing as they are found or computed.
func (c *featureCache) fill(ctx context.Context, f *features, missing wanted, open func() (*nnet.Network, error)) error {
	if c.ranks != nil {
		return c.fillTogether(ctx, f, missing, open)
	}
	all := len(missing)
	if err := c.find(f, missing, false); err != nil || len(missing) == 0 {
		_ = filelock.Tidy(filepath.Join(c.folder(), lockName)) // whoever was killed when all was there
		return err
	}
	if err := os.MkdirAll(c.folder(), 0o777); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	lock, err := waitFor(ctx, c.folder(), func(process int) {
		c.info("hidden states: waiting for process %d, which computes some of this model", process)
	})
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }() // the rows are written by then, and the system frees it too
	if err := c.find(f, missing, true); err != nil || len(missing) == 0 {
		return err
	}
	if warning := roomWarning(c.bytesOf(missing), atomicfile.Room(c.folder()), c.dir); warning != "" {
		c.warn("%s", warning)
	}
	if found := all - len(missing); found > 0 {
		c.info("hidden states: %d of %d texts are in the cache, %d are computed", found, all, len(missing))
	}
	network, err := open()
	if err != nil {
		return err
	}
	if err := c.compute(ctx, missing, network); err != nil {
		return err
	}
	return c.find(f, missing, true)
}

// bytesOf is what the rows of the texts take.
func (c *featureCache) bytesOf(texts wanted) int64 {
	rows := int64(0)
	for _, examples := range texts {
		rows += int64(len(examples[0].Reads))
	}
	return rows * int64(c.hidden) * c.dtype.Size()
}

// roomWarning says that hidden states will not fit on the disk; room -1 is not known.
func roomWarning(need, room int64, dir string) string {
	if room < 0 || need <= room {
		return ""
	}
	return fmt.Sprintf("hidden states take %s, and the disk of %s has %s left: prm cache --prune makes room, the key cache names another "+
		"folder",
		bytesText(need), dir, bytesText(room))
}

// waitFor makes this process the one that writes into a folder, when the one before has ended; say names that one, once.
func waitFor(ctx context.Context, folder string, say func(process int)) (*filelock.Lock, error) {
	for told := false; ; {
		lock, err := filelock.Take(filepath.Join(folder, lockName))
		held := new(filelock.HeldError)
		if !errors.As(err, &held) {
			return lock, err
		}
		if !told {
			say(held.Process)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
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

package prm

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/atomicfile"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
)

// shardEnd is the end of the name of a shard, a file of a cache folder. One of hidden states has for each example a tensor of its rows,
// named by its key, whose checksum the metadata hold under the same name.
const shardEnd = ".shard.safetensors"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of a key and its rows.
func checksum(key string, rows []byte) string {
	return strconv.FormatUint(uint64(crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, rows)), 16)
}

// find takes out of missing what the shards of the folder hold. A damaged shard is passed over; the owner of the folder removes it.
func (c *featureCache) find(f *features, missing wanted, owner bool) error {
	entries, err := os.ReadDir(c.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(c.folder(), entry.Name())
		if ok, _ := filepath.Match("*"+shardEnd, entry.Name()); !ok || len(missing) == 0 {
			continue
		}
		damage := c.take(path, f, missing)
		if damage == nil || errors.Is(damage, fs.ErrNotExist) { // pruned since
			continue
		}
		if owner {
			c.warn("hidden states in %s are computed again: %v", path, damage)
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("cache: %w", err)
			}
		}
	}
	return nil
}

// take takes the rows of one shard; an error says what is damaged, and rows before it may have been taken.
func (c *featureCache) take(path string, f *features, missing wanted) error {
	file, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	used := false
	var damage error
	for _, info := range file.Tensors() {
		examples := missing[info.Name]
		if examples == nil {
			continue
		}
		rows, sum := file.Bytes(info.Name), file.Metadata()[info.Name]
		if info.DType != c.dtype || len(rows) != len(examples[0].Reads)*f.width || sum != checksum(info.Name, rows) {
			damage = fmt.Errorf("damaged: the rows of %.12s do not match their checksum", info.Name)
			continue
		}
		for _, e := range examples {
			f.rows[e] = storedRows{rows, info.Name, sum, path}
		}
		delete(missing, info.Name)
		used = true
	}
	if !used {
		return errors.Join(damage, file.Close())
	}
	f.shards = append(f.shards, file)
	touch(path)
	return damage
}

const (
	chunkBytes = 256 << 20        // of the rows that are held in memory while they are computed
	shardEvery = 30 * time.Second // what was computed is written at least so often
)

// compute runs the trunk over the missing examples and writes their rows as they come; those that are complete when the context ends too.
func (c *featureCache) compute(ctx context.Context, missing wanted, network *nnet.Network) error {
	var list []*data.Example
	for _, examples := range missing {
		list = append(list, examples[0])
	}
	slices.SortFunc(list, func(a, b *data.Example) int { return slices.Compare(a.Tokens, b.Tokens) }) // whatever the map's order
	width, done := c.hidden*int(c.dtype.Size()), 0
	for lo := 0; lo < len(list); {
		hi, rows := lo, 0
		for hi < len(list) && (hi == lo || (rows+len(list[hi].Reads))*width <= chunkBytes) {
			rows += len(list[hi].Reads)
			hi++
		}
		chunk := &featureChunk{cache: c, list: list[lo:hi], tell: func(n int) { c.tell(done+n, len(list)) }}
		if err := chunk.run(ctx, network); err != nil {
			return errors.Join(err, chunk.write())
		}
		if err := chunk.write(); err != nil {
			return err
		}
		done += hi - lo
		lo = hi
	}
	return nil
}

// featureChunk is some examples whose rows are being computed.
type featureChunk struct {
	cache   *featureCache
	list    []*data.Example
	rows    [][]byte // of each example
	left    []int    // read-outs of each that are not computed yet
	written []bool
	tell    func(done int)
}

func (k *featureChunk) run(ctx context.Context, network *nnet.Network) error {
	batches, err := packShared(k.list, k.cache.tokens, network.Spec().Config)
	if err != nil {
		return err
	}
	width := k.cache.hidden * int(k.cache.dtype.Size())
	k.rows, k.left, k.written = make([][]byte, len(k.list)), make([]int, len(k.list)), make([]bool, len(k.list))
	for i, e := range k.list {
		k.rows[i], k.left[i] = make([]byte, len(e.Reads)*width), len(e.Reads)
	}
	last := time.Now()
	for n, b := range batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := network.Features(ctx, b)
		if err != nil {
			return err
		}
		for i := range b.Reads {
			e, at := b.Trajectory[i], int(b.Read[i])*width
			copy(k.rows[e][at:at+width], rows[i*width:])
			k.left[e]--
		}
		if k.tell(len(k.list) * (n + 1) / len(batches)); time.Since(last) > shardEvery {
			if err := k.write(); err != nil {
				return err
			}
			last = time.Now()
		}
	}
	return nil
}

// write makes a shard of the examples that are complete and not written yet.
func (k *featureChunk) write() error {
	c := k.cache
	var tensors []safetensors.Tensor
	sums := map[string]string{}
	for i := range k.rows {
		if k.left[i] > 0 || k.written[i] {
			continue
		}
		k.written[i] = true
		key, rows := featureKey(k.list[i]), k.rows[i]
		sums[key] = checksum(key, rows)
		tensors = append(tensors, safetensors.Tensor{Name: key, DType: c.dtype, Shape: []int{len(k.list[i].Reads), c.hidden},
			Write: writeBytes(rows)})
	}
	if len(tensors) == 0 {
		return nil
	}
	path := filepath.Join(c.folder(), fmt.Sprintf("%016x-%s", time.Now().UnixNano(), tensors[0].Name[:12])+shardEnd)
	if err := atomicfile.WriteFile(path, func(w io.Writer) error { return safetensors.Write(w, tensors, sums) }); err != nil {
		return fmt.Errorf("hidden states: %w", err)
	}
	return nil
}

//go:build linux && (amd64 || arm64) && !nocuda

// Package conformance runs a small kernel for each primitive of gpu.h, and holds what the emulator makes of them, so that a
// GPU can be compared with the emulator instruction by instruction. Only tests use it.
package conformance

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/gob"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/rng"
)

//go:embed *.ptx recorded.gz
var files embed.FS

// Case is one kernel of conform.cu or, where Hopper is set, of conform_sm90.cu.
type Case struct {
	Name                  string
	Threads, GridX, GridY int
	Shared                int  // bytes
	In, Out               int  // words
	Floats                bool // the input is numbers of every size, with those that are special
	Hopper                bool
	Maps                  []Matrix
	Near                  float64 // relative difference of f32 results that hardware may have; 0: to the bit
	Kernel                string  // if it has another name
	// The results come in groups of Group words, the first Singles of them f32 and the rest f64, where any NaN is as good as any
	// other: PTX leaves open which one an instruction returns. 0: NaN are compared by their bits.
	Group, Singles int
}

// Matrix is a matrix in the input that the copy engine brings by boxes, or in the output where it stores them.
type Matrix struct {
	Word, Rows, Columns, BoxRows int
	Output, Single               bool // Single: of f32, else of bf16
}

// Cases is every one. ex2.approx and lg2.approx are said to be within 2^-22; sums of products are rounded as the hardware
// likes, of 16 terms of one sign.
var Cases = []Case{
	{Name: "conform_index", Threads: 64, GridX: 2, GridY: 2, Out: 256},
	{Name: "conform_shuffle", Threads: 32, In: 32, Out: 192},
	{Name: "conform_barrier", Threads: 256, Shared: 1024, In: 256, Out: 256},
	{Name: "conform_sum", Threads: 256, Shared: 32, In: 256, Out: 256},
	{Name: "conform_atomic", Threads: 64, In: 128, Out: 2},
	{Name: "conform_convert", Threads: 64, In: 128, Out: 192, Floats: true},
	{Name: "conform_exact", Threads: 64, In: 192, Out: 960, Floats: true, Group: 15, Singles: 5},
	{Name: "conform_larger", Threads: 64, In: 128, Out: 64, Floats: true, Group: 1, Singles: 1},
	{Name: "conform_functions", Threads: 64, In: 64, Out: 768, Floats: true, Group: 12},
	{Name: "conform_exp2", Threads: 64, In: 64, Out: 64, Floats: true, Near: 0x1p-21},
	{Name: "conform_log2", Threads: 64, In: 64, Out: 64, Floats: true, Near: 0x1p-21},
	{Name: "conform_logistic", Threads: 64, In: 64, Out: 64, Floats: true, Near: 0x1p-20},
	{Name: "conform_gated", Threads: 64, In: 64, Out: 128, Floats: true},
	{Name: "conform_copy", Threads: 32, Shared: 1536, In: 128, Out: 384},
	{Name: "conform_matrices", Threads: 32, Shared: 512, In: 128, Out: 128},
	{Name: "conform_matrices_transposed", Threads: 32, Shared: 512, In: 128, Out: 128},
	{Name: "conform_mma", Threads: 32, In: 320, Out: 128},
	{Name: "conform_mma_rounded", Threads: 32, In: 192, Out: 128, Near: 0x1p-20},
	{Name: "conform_mbarrier", Threads: 64, Shared: 320, In: 32, Out: 160, Hopper: true},
	{Name: "conform_box", Threads: 64, Shared: 16400, In: 50 * 96 / 2, Out: 4096, Hopper: true,
		Maps: []Matrix{{Rows: 50, Columns: 96, BoxRows: 64}}},
	// at an address that is a multiple of 16 bytes, and of no more
	{Name: "conform_box_offset", Kernel: "conform_box", Threads: 64, Shared: 16400, In: 4 + 50*96/2, Out: 4096, Hopper: true,
		Maps: []Matrix{{Word: 4, Rows: 50, Columns: 96, BoxRows: 64}}},
	// of 16 columns, as an adapter's matrices have, where a box has 64
	{Name: "conform_box_narrow", Threads: 64, Shared: 16400, In: 50 * 16 / 2, Out: 4096, Hopper: true,
		Maps: []Matrix{{Rows: 50, Columns: 16, BoxRows: 64}}},
	{Name: "conform_lines", Threads: 32, Shared: 4112, In: 50 * 96 / 2, Out: 1024, Hopper: true,
		Maps: []Matrix{{Rows: 50, Columns: 96, BoxRows: 1}}},
	{Name: "conform_cluster", Threads: 128, GridX: 4, Shared: 16, In: 128, Out: 2 * 5 * 256, Hopper: true},
	{Name: "conform_share_box", Threads: 128, GridX: 2, Shared: 3*64*128 + 16, In: 50 * 96 / 2, Out: 2 * 3 * 64 * 32, Hopper: true,
		Maps: []Matrix{{Rows: 50, Columns: 96, BoxRows: 64}}},
	{Name: "conform_store_matrices", Threads: 32, Shared: 512, In: 128, Out: 128, Hopper: true},
	// the boxes of the last columns lie beyond, those before them end within
	{Name: "conform_store_box", Threads: 32, Shared: 4096, In: 3072, Out: 36 * 88 / 2, Hopper: true,
		Maps: []Matrix{{Rows: 36, Columns: 88, BoxRows: 16, Output: true}}},
	{Name: "conform_store_box_f32", Threads: 32, Shared: 4096, In: 3072, Out: 36 * 44, Hopper: true,
		Maps: []Matrix{{Rows: 36, Columns: 44, BoxRows: 16, Output: true, Single: true}}},
	product("conform_product_along", 256, false),
	product("conform_product_across", 256, true),
	product("conform_product_192", 192, true),
	product("conform_product_128", 128, false),
	product("conform_product_64", 64, true),
	product("conform_weighted_128", 128, true),
	product("conform_weighted_64", 64, true),
	product("conform_weighted_along", 64, false),
}

// product is the case of a product of 64 × 64 and 64 × n, whose rows lie across if they are the terms.
func product(name string, n int, across bool) Case {
	second := Matrix{Word: 64 * 32, Rows: n, Columns: 64, BoxRows: 64}
	if across {
		second.Rows, second.Columns = 64, n
	}
	return Case{Name: name, Threads: 384, Shared: 64*128 + n*128 + 1024, In: 64*32 + n*32, Out: 64 * n, Hopper: true,
		Maps: []Matrix{{Rows: 64, Columns: 64, BoxRows: 64}, second}}
}

// words is a case's input: the same everywhere.
func (c Case) words() []uint32 {
	stream, w := rng.New(1, c.Name), make([]uint32, c.In)
	special := []uint32{0, 1 << 31, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 1, 0x80000001, 0x007fffff, 0x00800000,
		0x7f7fffff, 0xff7fffff,
		0x3f800000, 0xbf800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x7f7f8000, 0x42fe0000, 0xc2fc0000, 0xc2fd0000, 0xc3150000, 0x33800000,
		0x3f7fffff}
	for i := range w {
		w[i] = uint32(stream.Uint64(uint64(i)))
		switch {
		case c.Maps != nil: // pairs of whole numbers from -8 to 7, whose products' sums are exact in any order
			bf16 := func(n uint32) uint32 { return math.Float32bits(float32(n%16)-8) >> 16 }
			w[i] = bf16(w[i]) | bf16(w[i]>>4)<<16
		case c.Floats && i%3 == 0:
			w[i] = special[i/3%len(special)]
		case c.Floats: // of sizes that functions care about
			w[i] = w[i]&0x807fffff | (110+w[i]>>8%24)<<23
		}
	}
	return w
}

// Run launches a case on the device of the current context and waits for it, no longer than the limit.
func Run(c Case, s driver.Stream, limit time.Duration) (out []uint32, err error) {
	file := "conform.ptx"
	if c.Hopper {
		file = "conform_sm90.ptx"
	}
	ptx, err := files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	module, err := driver.LoadModule(append(ptx, 0))
	if err != nil {
		return nil, err
	}
	f, err := module.Function(c.kernel())
	if err != nil {
		return nil, err
	}
	in := c.words()
	if len(in) == 0 {
		in = []uint32{0}
	}
	out = make([]uint32, c.Out)
	from, err := driver.Alloc(4 * len(in))
	if err != nil {
		return nil, err
	}
	to, err := driver.Alloc(4 * len(out))
	if err != nil {
		return nil, err
	}
	if err := driver.Upload(from, unsafe.Slice((*byte)(unsafe.Pointer(&in[0])), 4*len(in)), s); err != nil {
		return nil, err
	}
	if err := driver.Fill(to, 0xee, 4*len(out), s); err != nil {
		return nil, err
	}
	params, sizes := []unsafe.Pointer{unsafe.Pointer(&to), unsafe.Pointer(&from)}, []int{8, 8}
	for _, m := range c.Maps {
		where, bytes := from, 2
		if m.Output {
			where = to
		}
		if m.Single {
			bytes = 4
		}
		described := driver.NewTensorMap(m.Rows, m.Columns, m.BoxRows, bytes)
		if err := described.Encode(where + driver.Ptr(4*m.Word)); err != nil {
			return nil, err
		}
		params, sizes = append(params, unsafe.Pointer(described.Words)), append(sizes, 128)
	}
	if c.Shared > 48<<10 {
		if err := f.AllowShared(c.Shared); err != nil {
			return nil, err
		}
	}
	if err := f.Prepare(max(1, c.GridX), max(1, c.GridY), c.Threads, c.Shared, s, params, sizes).Do(); err != nil {
		return nil, err
	}
	if err := driver.Download(unsafe.Pointer(&out[0]), to, 4*len(out), s); err != nil {
		return nil, err
	}
	done, err := driver.NewEvent()
	if err != nil {
		return nil, err
	}
	if err := done.Record(s); err != nil {
		return nil, err
	}
	if err := done.Await(limit); err != nil {
		return nil, err
	}
	if err := done.Destroy(); err != nil {
		return nil, err
	}
	for _, p := range []driver.Ptr{from, to} {
		if err := driver.Free(p); err != nil {
			return nil, err
		}
	}
	return out, module.Unload()
}

// Differs says where results differ by more than the case allows, or nothing.
func (c Case) Differs(got, want []uint32) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%s: %d words, %d are recorded", c.Name, len(got), len(want))
	}
	for i, w := range want {
		x, y := float64(math.Float32frombits(got[i])), float64(math.Float32frombits(w))
		near := c.Near > 0 && (math.IsNaN(x) && math.IsNaN(y) || math.Abs(x-y) <= c.allowed(y))
		if got[i] != w && !near && !(c.nan(got, i) && c.nan(want, i)) {
			return fmt.Sprintf("%s: word %d is %#08x (%g), the emulator has %#08x (%g)", c.Name, i, got[i], x, w, y)
		}
	}
	return ""
}

// allowed is how far from y a result may be.
func (c Case) allowed(y float64) float64 {
	allowed := c.Near * math.Max(math.Abs(y), 0x1p-100)
	if c.Name == "conform_log2" { // near 1 the logarithm is small, and its error is absolute
		allowed = math.Max(allowed, 0x1p-21)
	}
	return allowed
}

// Worst is the largest difference as a share of what the case allows, 0 where the bits must be the same.
func (c Case) Worst(got, want []uint32) (share float64) {
	if c.Near == 0 {
		return 0
	}
	for i, w := range want {
		x, y := float64(math.Float32frombits(got[i])), float64(math.Float32frombits(w))
		if got[i] != w && !math.IsNaN(x) && !math.IsNaN(y) {
			share = max(share, math.Abs(x-y)/c.allowed(y))
		}
	}
	return share
}

// nan reports whether word i belongs to a NaN, where any is as good as any other.
func (c Case) nan(words []uint32, i int) bool {
	if c.Group == 0 {
		return false
	}
	if at := i % c.Group; at >= c.Singles {
		low := i - (at-c.Singles)%2
		return math.IsNaN(math.Float64frombits(uint64(words[low]) | uint64(words[low+1])<<32))
	}
	return math.IsNaN(float64(math.Float32frombits(words[i])))
}

func (c Case) kernel() string {
	if c.Kernel != "" {
		return c.Kernel
	}
	return c.Name
}

// Recorded is what the emulator made of each case when that was last written down.
func Recorded() (map[string][]uint32, error) {
	packed, err := files.ReadFile("recorded.gz")
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	results := map[string][]uint32{}
	return results, gob.NewDecoder(r).Decode(&results)
}

// Record writes results for recorded.gz.
func Record(w io.Writer, results map[string][]uint32) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := gob.NewEncoder(z).Encode(results); err != nil {
		return err
	}
	return z.Close()
}

// Kernels are the names of what is run.
func Kernels() []string {
	var names []string
	for _, c := range Cases {
		names = append(names, c.kernel())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

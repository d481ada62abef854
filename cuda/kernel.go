//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// kernel is one launch, ready: its parameters lie in words, and only the addresses of tensors are read anew each time.
type kernel struct {
	name            string
	gridX, gridY    int
	threads, shared int
	prepared        *driver.Prepared
	words           []uint64
	params          []unsafe.Pointer // of each parameter, into words
	tensors         []tensorParam
	maps            []mapParam
	sizes           []int // bytes of each parameter, for the test that compares them with the PTX
}

// step is what a compiled call does on the stream.
type step interface{ launch() error }

// clear zeroes a tensor.
type clear struct {
	tensor   *engine.Tensor
	prepared *driver.Prepared
}

func (b *builder) clear(t *engine.Tensor) clear {
	return clear{t, driver.PrepareFill(0, int(t.MemSize()), b.stream)}
}

func (c clear) launch() error {
	c.prepared.SetTarget(driver.Ptr(uintptr(c.tensor.Ptr)))
	return c.prepared.Do()
}

// place is where a parameter points to, which each launch asks anew.
type place interface{ address() driver.Ptr }

type tensorParam struct {
	word int
	of   place
}

// mapParam is a tensor map, made anew when its tensor has moved.
type mapParam struct {
	word int
	of   place
	made *driver.TensorMap
	at   driver.Ptr // of which it was made
}

func (k *kernel) launch() error {
	for _, t := range k.tensors {
		k.words[t.word] = uint64(t.of.address())
	}
	for i := range k.maps {
		m := &k.maps[i]
		if at := m.of.address(); at != m.at {
			if err := m.made.Encode(at); err != nil {
				return fmt.Errorf("kernel %s: %w", k.name, err)
			}
			m.at = at
			copy(k.words[m.word:], m.made.Words[:])
		}
	}
	if k.gridX == 0 || k.gridY == 0 {
		return nil
	}
	if err := k.prepared.Do(); err != nil {
		return fmt.Errorf("kernel %s of %d×%d blocks: %w", k.name, k.gridX, k.gridY, err)
	}
	return nil
}

// builder makes the kernels of a call.
type builder struct {
	*backend
	engine.Call
	compute tensor.Dtype
	number  int // of the call

	temporaries int // bytes of scratch memory that it needs

	on driver.Stream // of its kernels; 0: the backend's
}

// suffix names the storage types of a kernel's instance.
func suffix(dtypes ...tensor.Dtype) string {
	s := ""
	for _, d := range dtypes {
		s += "_" + engine.DTypeName(d)
	}
	return s
}

// defaultShared is the shared memory of a block that needs no leave of the driver.
const defaultShared = 48 << 10

// kernel describes a launch. The parameters are tensors, device addresses, numbers, and what stands for a struct of gpu.h.
func (b *builder) kernel(name string, gridX, gridY, threads, shared int, params ...any) (*kernel, error) {
	f, err := b.function(name)
	if err != nil {
		return nil, err
	}
	if shared > defaultShared {
		if err := f.AllowShared(shared); err != nil {
			return nil, fmt.Errorf("kernel %s, %d bytes of shared memory: %w", name, shared, err)
		}
	}
	k := &kernel{name: name, gridX: gridX, gridY: gridY, threads: threads, shared: shared}
	var starts []int
	for _, p := range params {
		starts = append(starts, len(k.words))
		k.sizes = append(k.sizes, k.add(b, p))
	}
	for _, at := range starts {
		k.params = append(k.params, unsafe.Pointer(&k.words[at]))
	}
	stream := b.stream
	if b.on != 0 {
		stream = b.on
	}
	k.prepared = f.Prepare(gridX, gridY, threads, shared, stream, k.params, k.sizes)
	if b.launched != nil {
		b.launched[name] = k
	}
	return k, nil
}

// add appends a parameter and returns its size.
func (k *kernel) add(b *builder, p any) int {
	switch p := p.(type) {
	case *engine.Tensor:
		return k.tensor(p, 0)
	case driver.Ptr:
		k.words = append(k.words, uint64(p))
	case nil:
		k.words = append(k.words, 0)
	case uint64:
		k.words = append(k.words, p)
	case float64:
		k.words = append(k.words, math.Float64bits(p))
	case float32:
		k.words = append(k.words, uint64(math.Float32bits(p)))
		return 4
	case int:
		k.words = append(k.words, uint64(uint32(int32(p))))
		return 4
	case operand:
		for _, box := range []int{p.box, 1} {
			k.describe(p, p.rows, p.columns, box, 2)
		}
		return 256
	case written:
		for _, t := range []*engine.Tensor{p.out, p.addend} {
			if t == nil || p.columns%8 != 0 { // the kernel does not ask for it
				k.words = append(k.words, make([]uint64, 16)...)
				continue
			}
			k.describe(part{t, 0}, p.rows, p.columns, panelRows, int(t.Dtype().Size()))
		}
		return 256
	case gradients:
		return k.gradients(b, p)
	case []operand:
		bytes := 0
		for _, o := range p {
			bytes += k.add(b, o)
		}
		return bytes
	case bound:
		if b.Rows == engine.Fixed {
			k.words = append(k.words, 0)
		} else {
			k.tensor(b.Live, 0)
		}
		k.words = append(k.words, uint64(b.fault), pair(b.number, max(0, int(b.Rows))))
		return 24
	case epilogue:
		k.add(b, optional(p.bias))
		k.add(b, optional(p.addend))
		k.words = append(k.words, uint64(math.Float32bits(p.factor)))
		return 24
	case keys:
		for _, t := range b.In[3:6] {
			k.tensor(t, 0)
		}
		k.words = append(k.words, pair(b.In[3].Size()-1, b.In[0].Shape()[0]))
		return 32
	case heads:
		k.words = append(k.words, pair(p.heads, p.kvHeads), pair(p.dim, 0))
		return 16
	case place:
		return k.at(p)
	default:
		panic(fmt.Sprintf("cuda: a kernel's parameter of type %T", p)) // a slip in the table, which every test would meet
	}
	return 8
}

// describe adds a map of rows × columns numbers of so many bytes.
func (k *kernel) describe(of place, rows, columns, box, bytes int) {
	k.maps = append(k.maps, mapParam{word: len(k.words), of: of, made: driver.NewTensorMap(rows, columns, box, bytes)})
	k.words = append(k.words, make([]uint64, 16)...)
}

// optional is a null pointer where there is no tensor.
func optional(t *engine.Tensor) any {
	if t == nil {
		return nil
	}
	return t
}

func (k *kernel) tensor(t *engine.Tensor, offset int) int {
	return k.at(part{t, offset})
}

func (k *kernel) at(of place) int {
	k.tensors = append(k.tensors, tensorParam{len(k.words), of})
	k.words = append(k.words, 0)
	return 8
}

// pair is two ints of a struct.
func pair(lo, hi int) uint64 { return uint64(uint32(int32(lo))) | uint64(uint32(int32(hi)))<<32 }

// Parameters besides tensors and numbers: a tensor from an offset on, and the structs Bound, Keys, Heads and Epilogue.
type (
	part struct {
		tensor *engine.Tensor
		offset int // bytes
	}
	bound   struct{}
	keys    struct{}
	operand struct { // a matrix that the copy engine brings, box rows or one at a time: a Brought
		where              any // a tensor or a roundedWeight
		rows, columns, box int
	}
	written struct { // what the copy engine writes, and what is added to it (nil: nothing): a Written
		out, addend   *engine.Tensor
		rows, columns int
	}
	heads    struct{ heads, kvHeads, dim int }
	epilogue struct { // of a product; nil: none
		bias, addend *engine.Tensor
		factor       float32
	}
)

func (p part) address() driver.Ptr { return driver.Ptr(uintptr(p.tensor.Ptr)) + driver.Ptr(p.offset) }

func (o operand) address() driver.Ptr {
	if t, ok := o.where.(*engine.Tensor); ok {
		return driver.Ptr(uintptr(t.Ptr))
	}
	return o.where.(roundedWeight).address()
}

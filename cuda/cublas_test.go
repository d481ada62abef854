//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
)

// cublas is NVIDIA's library, where the machine has it: what our products are measured beside. Constants, structs and
// arguments are those of cublasLt.h and cublas_api.h 13.0 and library_types.h 12.6.
type cublas struct {
	library, handle, preference uintptr
	workspace                   driver.Ptr
}

const cublasWorkspace = 64 << 20

// openCublas loads the library; nil: there is none that works.
func openCublas(gpu *backend) *cublas {
	c := &cublas{}
	for _, name := range []string{"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"} {
		if library, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL); err == nil {
			c.library = library
			break
		}
	}
	if c.library == 0 {
		fmt.Println("NOTE no figures of cuBLASLt: libcublasLt.so is not here")
		return nil
	}
	if err := gpu.do(func() (err error) {
		if c.workspace, err = driver.Alloc(cublasWorkspace); err != nil {
			return err
		}
		if err := c.call("cublasLtCreate", uintptr(unsafe.Pointer(&c.handle))); err != nil {
			return err
		}
		if err := c.call("cublasLtMatmulPreferenceCreate", uintptr(unsafe.Pointer(&c.preference))); err != nil {
			return err
		}
		bytes := uint64(cublasWorkspace)
		const maxWorkspaceBytes = 1
		return c.call("cublasLtMatmulPreferenceSetAttribute", c.preference, maxWorkspaceBytes, uintptr(unsafe.Pointer(&bytes)), 8)
	}); err != nil {
		fmt.Println("NOTE no figures of cuBLASLt:", err)
		return nil
	}
	return c
}

// call makes a call; what its arguments point to stays where it is for as long.
//
//go:uintptrescapes
func (c *cublas) call(name string, args ...uintptr) error {
	address, err := purego.Dlsym(c.library, name)
	if err != nil {
		return err
	}
	if r, _, _ := purego.SyscallN(address, args...); int32(r) != 0 {
		return fmt.Errorf("%s: status %d", name, int32(r))
	}
	return nil
}

// product is out = left·right of matrices whose rows follow each other, of each the transpose where it says so.
type product struct {
	out, left, right *engine.Tensor
	leftT, rightT    bool
}

// layout describes a matrix as the library sees it, by columns: so its rows are its columns, and the product is right·left.
func (c *cublas) layout(of *engine.Tensor, to *uintptr) error {
	const real32F, realBF16 = 0, 14
	kind, rows, columns := uintptr(realBF16), uintptr(of.Shape()[0]), uintptr(of.Shape()[1])
	if of.Dtype() == engine.F32 {
		kind = real32F
	}
	return c.call("cublasLtMatrixLayoutCreate", uintptr(unsafe.Pointer(to)), kind, columns, rows, columns)
}

// product makes a launch in bf16 with f32 sums, by the algorithm that the library thinks best.
func (c *cublas) product(gpu *backend, p product) (launch func() error, err error) {
	const compute32F, real32F, transA, transB = 68, 0, 3, 4
	var description, a, b, d uintptr
	transposed, found := int32(1), int32(0)
	var best struct { // cublasLtMatmulHeuristicResult_t
		algorithm [8]uint64
		workspace uint64
		state     int32
		waves     float32
		reserved  [4]int32
	}
	address, err := purego.Dlsym(c.library, "cublasLtMatmul")
	if err != nil {
		return nil, err
	}
	transpose := func(which uintptr, needed bool) error {
		if !needed {
			return nil
		}
		return c.call("cublasLtMatmulDescSetAttribute", description, which, uintptr(unsafe.Pointer(&transposed)), 4)
	}
	err = gpu.do(func() error {
		for _, f := range []func() error{
			func() error {
				return c.call("cublasLtMatmulDescCreate", uintptr(unsafe.Pointer(&description)), compute32F, real32F)
			},
			func() error { return transpose(transA, p.rightT) },
			func() error { return transpose(transB, p.leftT) },
			func() error { return c.layout(p.right, &a) },
			func() error { return c.layout(p.left, &b) },
			func() error { return c.layout(p.out, &d) },
			func() error {
				return c.call("cublasLtMatmulAlgoGetHeuristic", c.handle, description, a, b, d, d, c.preference, 1, uintptr(unsafe.Pointer(&best)),
					uintptr(unsafe.Pointer(&found)))
			},
		} {
			if err := f(); err != nil {
				return err
			}
		}
		if found == 0 {
			return fmt.Errorf("cublasLt knows no algorithm for %v·%v", p.left.Shape(), p.right.Shape())
		}
		return nil
	})
	factors := &struct{ alpha, beta float32 }{1, 0}
	return func() error {
		return gpu.do(func() error {
			r, _, _ := purego.SyscallN(address, c.handle, description, uintptr(unsafe.Pointer(&factors.alpha)), uintptr(p.right.Ptr), a,
				uintptr(p.left.Ptr), b, uintptr(unsafe.Pointer(&factors.beta)), uintptr(p.out.Ptr), d, uintptr(p.out.Ptr), d,
				uintptr(unsafe.Pointer(&best.algorithm)), uintptr(c.workspace), cublasWorkspace, uintptr(gpu.stream))
			if int32(r) != 0 {
				return fmt.Errorf("cublasLtMatmul: status %d", int32(r))
			}
			return nil
		})
	}, err
}

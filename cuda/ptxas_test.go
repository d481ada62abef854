//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What NVIDIA's assembler said of the committed PTX, by scripts/ptxas.sh: every kernel on every architecture it is meant
// for, without spilled registers or local memory, and with tensor cores where they are meant to be.
func TestAssemblerTable(t *testing.T) {
	table, err := os.ReadFile("ptxas.tsv")
	require.NoError(t, err)
	paths, err := filepath.Glob("ptx/*.ptx")
	require.NoError(t, err)
	others, err := filepath.Glob("internal/conformance/*.ptx")
	require.NoError(t, err)
	require.NotEmpty(t, others)
	archs := map[string]map[string]bool{} // by kernel
	for _, path := range append(paths, others...) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		_, body, _ := bytes.Cut(text, []byte("\n"))
		require.Contains(t, string(table), fmt.Sprintf("# %s %x", filepath.Base(path), sha256.Sum256(body))[:len(filepath.Base(path))+3+32]+"\n",
			"the table is stale: run scripts/ptxas.sh (make ptxas)")
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") || fields[0] == "file" {
			continue
		}
		require.Len(t, fields, 17, line)
		file, kernel, arch := fields[0], fields[1], fields[2]
		var n []int
		for _, f := range fields[3:] {
			v, err := strconv.Atoi(f)
			require.NoError(t, err, line)
			n = append(n, v)
		}
		registers, stack, stores, loads, tensor, copies, local, instructions := n[0], n[1], n[2], n[3], n[4], n[6], n[7], n[8]
		loop, loopTensor, loopMatrices, loopCopies := n[10], n[11], n[12], n[13]
		require.Zero(t, stack+stores+loads+local, "%s on %s spills", kernel, arch)
		require.LessOrEqual(t, registers, 255)
		require.NotZero(t, instructions, "%s on %s was not disassembled", kernel, arch)
		if strings.HasSuffix(file, "_sm90.ptx") { // operands are read from shared memory by the products themselves
			require.NotZero(t, tensor, kernel)
			require.NotZero(t, copies, kernel)
			require.LessOrEqual(t, 2*n[9], tensor, "%s: the assembler waits after each wgmma", kernel)
			require.LessOrEqual(t, loop, 100*loopTensor, "%s: instructions for each wgmma", kernel)
		} else if file == "gemm_sm80.ptx" || file == "attention_sm80.ptx" && !strings.Contains(kernel, "delta") {
			require.NotZero(t, copies, "%s on %s", kernel, arch)
			require.NotZero(t, loopTensor, "%s on %s", kernel, arch)
			require.GreaterOrEqual(t, 8*loopTensor, 7*loopMatrices, "%s on %s: tensor-core instructions for each load of matrices", kernel, arch)
			if strings.HasSuffix(kernel, "_128") && file == "gemm_sm80.ptx" { // of 512 bytes by a warp
				require.GreaterOrEqual(t, loopTensor, 8*loopCopies, "%s on %s: tensor-core instructions for each copy", kernel, arch)
			}
		} else {
			require.Zero(t, tensor, kernel)
		}
		if archs[kernel] == nil {
			archs[kernel] = map[string]bool{}
		}
		archs[kernel][arch] = true
	}
	for kernel := range readEntries(t) {
		if strings.Contains(kernel, "_hopper") {
			require.True(t, archs[kernel]["sm_90a"], kernel)
			continue
		}
		for _, arch := range []string{"sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"} {
			require.True(t, archs[kernel][arch], "%s has not been assembled for %s", kernel, arch)
		}
	}
}

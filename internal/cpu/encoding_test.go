package cpu

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The assembly of instruction sets that a machine may not have is checked on every machine: what Go's assembler makes of
// it is taken apart by another program's disassembler, and compared instruction by instruction. It is what shows that
// the bytes written for VDPBF16PS are that instruction with those operands.
func TestAssemblyIsWhatItSays(t *testing.T) {
	for _, file := range []string{"avx2_gemm", "avx2_attention", "avx2_rows", "avx2_int8", "avx512_gemm", "avx512_attention", "avx512_bf16",
		"avx512_int8", "avx512_elements"} {
		t.Run(file, func(t *testing.T) {
			code := assembled(t, file+"_amd64.s")
			sum := sha256.Sum256(code)
			requireGolden(t, file, hex.EncodeToString(sum[:]))
			objdump, err := exec.LookPath("objdump")
			if err != nil {
				t.Skip("objdump is not there: the bytes are as committed, and not taken apart")
			}
			bin := filepath.Join(t.TempDir(), "code")
			require.NoError(t, os.WriteFile(bin, code, 0o600))
			out, err := exec.Command(objdump, "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", bin).CombinedOutput()
			if err != nil {
				t.Skipf("this objdump knows no x86-64: %s", out)
			}
			want, got := written(t, file+"_amd64.s"), disassembled(string(out))
			require.Len(t, got, len(want))
			for i := range want {
				require.Equal(t, want[i], got[i], "instruction %d", i)
			}
		})
	}
}

// assembled is the machine code of a file's functions, one after the other, before linking.
func assembled(t *testing.T, file string) []byte {
	object := filepath.Join(t.TempDir(), "object.o")
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	include := filepath.Join(strings.TrimSpace(string(root)), "pkg", "include")
	for _, args := range [][]string{{"tool", "asm", "-p", "cpu", "-I", include, "-o", object, file}, {"tool", "objdump", object}} {
		command := exec.Command("go", args...)
		command.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64")
		if args[1] == "objdump" {
			command.Env = os.Environ() // a program of this machine, whatever it reads
		}
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
		if args[1] != "objdump" {
			continue
		}
		var code []byte
		for _, m := range regexp.MustCompile(`(?m)^ +\S+\.s:\d+\t+0x[0-9a-f]+\t+([0-9a-f]+)\t`).FindAllStringSubmatch(string(out), -1) {
			raw, err := hex.DecodeString(m[1])
			require.NoError(t, err)
			code = append(code, raw...)
		}
		return code
	}
	return nil
}

// requireGolden compares with testdata/encoded.tsv; GOPRM_UPDATE_ENCODED=1 writes it anew.
func requireGolden(t *testing.T, file, sum string) {
	const path = "testdata/encoded.tsv"
	text, err := os.ReadFile(path)
	if os.Getenv("GOPRM_UPDATE_ENCODED") != "" {
		kept := regexp.MustCompile(`(?m)^`+file+`\t.*\n`).ReplaceAllString(string(text), "")
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "%s%s\t%s\n", kept, file, sum), 0o644))
		return
	}
	require.NoError(t, err)
	require.Contains(t, string(text), file+"\t"+sum+"\n", "the bytes have changed: look at them, then run with GOPRM_UPDATE_ENCODED=1")
}

var (
	vectorRegister = regexp.MustCompile(`\b([XYZK])(\d+)\b`)
	symbol         = regexp.MustCompile(`[\w·]+<>\+\d+\(SB\)`)
	decimal        = regexp.MustCompile(`(^|,)(-?\d+)\(`)
	indexed        = regexp.MustCompile(`\((\w+)\)\((\w+)\*(\d)\)`)
	argument       = regexp.MustCompile(`\w+\+(\d+)\(FP\)`)
	masked         = regexp.MustCompile(`,(%k\d),(%zmm\d+|\S*\(\S+\))$`)
	general        = regexp.MustCompile(`\b(AX|BX|CX|DX|SI|DI|BP|SP|R8|R9|R10|R11|R12|R13|R14|R15)\b`)
)

// written are a file's instructions in the disassembler's words: vector instructions whole, of others the name.
func written(t *testing.T, file string) []string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var all []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "\t") {
			continue
		}
		if _, comment, ok := strings.Cut(line, "// "); ok && strings.Contains(line, "BYTE") {
			line = comment
		}
		name, operands, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, instruction(name, inATT(strings.ReplaceAll(operands, " ", ""))))
	}
	return all
}

// inATT writes operands, whose order is the same, as the disassembler does.
func inATT(operands string) string {
	operands = symbol.ReplaceAllString(operands, "0x0(%rip)")
	operands = argument.ReplaceAllStringFunc(operands, func(s string) string { // behind the return address
		var n int
		_, _ = fmt.Sscan(argument.FindStringSubmatch(s)[1], &n)
		return fmt.Sprintf("0x%x(%%rsp)", n+8)
	})
	operands = decimal.ReplaceAllStringFunc(operands, func(s string) string {
		m := decimal.FindStringSubmatch(s)
		var n int
		_, _ = fmt.Sscan(m[2], &n)
		return fmt.Sprintf("%s0x%x(", m[1], n)
	})
	operands = indexed.ReplaceAllString(operands, "($1,$2,$3)")
	operands = strings.ReplaceAll(operands, "$0x0", "$0x")
	operands = vectorRegister.ReplaceAllStringFunc(operands, func(s string) string {
		if s[0] == 'K' {
			return "%k" + s[1:]
		}
		return "%" + strings.ToLower(s[:1]) + "mm" + s[1:]
	})
	operands = general.ReplaceAllStringFunc(operands, func(s string) string {
		if s[0] == 'R' {
			return "%" + strings.ToLower(s)
		}
		return "%r" + strings.ToLower(s)
	})
	return masked.ReplaceAllString(operands, ",$2{$1}")
}

// disassembled reads what objdump -D prints.
func disassembled(out string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^ +[0-9a-f]+:\t(\S+) *(\S*).*$`).FindAllStringSubmatch(out, -1) {
		all = append(all, instruction(m[1], m[2]))
	}
	return all
}

// instruction leaves operands to vector instructions, and takes the size and other spellings off the names of others.
func instruction(name, operands string) string {
	name = strings.ToLower(name)
	for spelled, as := range map[string]string{"vcmpps $0x3,": "vcmpunordps ", "vcmpss $0x5,": "vcmpnltss ",
		"vpcmpd $0x1,": "vpcmpltd ", "vpcmpd $0x5,": "vpcmpnltd "} {
		if rest, ok := strings.CutPrefix(name+" "+operands, spelled); ok {
			return as + rest
		}
	}
	if strings.HasPrefix(name, "v") {
		return name + " " + operands
	}
	for from, to := range map[string]string{"jz": "je", "jnz": "jne", "jmp": "jmp"} {
		if name == from {
			return to
		}
	}
	if strings.HasPrefix(name, "j") || strings.HasPrefix(name, "prefetch") {
		return name
	}
	return strings.TrimSuffix(strings.TrimSuffix(name, "q"), "l")
}

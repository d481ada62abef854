package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGrade(t *testing.T) {
	dir := t.TempDir()
	first := write(t, filepath.Join(dir, "a.jsonl"), `{"id":7,"gold":"1/2","pred":"so $0.5$.","x":[1, 2]}`+"\n\n"+`{"gold":"3","pred":"4"}`+
		"\n")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write([]byte(`{"gold":3,"reason":"old","equal":null,"pred":3.0,"a":"<é>"}` + "\n" + `{"gold":null,"pred":"1"}` + "\n" +
		`{"gold":"1","pred":null}` + "\n"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	second := filepath.Join(dir, "b.jsonl.gz")
	require.NoError(t, os.WriteFile(second, zipped.Bytes(), 0o644))
	out := filepath.Join(dir, "out.jsonl")
	code, stdout, stderr := prmCommand("grade", "--in", first, "--out", out, "--in", second)
	require.Equal(t, 0, code, stderr)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "2 equal, 2 different, 1 undecided")
	lines, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, `{"id":7,"gold":"1/2","pred":"so $0.5$.","x":[1, 2],"equal":true,"reason":""}
{"gold":"3","pred":"4","equal":false,"reason":"the values differ"}
{"a":"<é>","gold":3,"pred":3.0,"equal":true,"reason":""}
{"gold":null,"pred":"1","equal":null,"reason":"there is no gold answer"}
{"gold":"1","pred":null,"equal":false,"reason":"no final answer was found"}
`, string(lines))

	code, stdout, stderr = prmCommand("grade", "--pred", `\dfrac12`, "--gold", "50%")
	require.Equal(t, 0, code, stderr)
	require.Equal(t, `{"gold":"50%","pred":"\\dfrac12","equal":true,"reason":""}`+"\n", stdout)
}

func TestGradeRefuses(t *testing.T) {
	for row, want := range map[string]string{
		"{\"gold\":\"a\xff\",\"pred\":\"\"}": "not valid UTF-8",
		`{"gold":"1","pred":"\ud800"}`:       "surrogate",
		`{"gold":"1","Pred":"1"}`:            `no "pred"`,
		`{"pred":"1"}`:                       `no "gold"`,
		`{"gold":["1"],"pred":"1"}`:          "gold: text is needed",
		`["1"]`:                              "not a JSON object",
		`{"gold":"1","pred":"1"`:             "not a JSON object",
		`null`:                               `no "gold"`,
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), []string{"grade", "--in", "-"}, strings.NewReader(`{"gold":"1","pred":"1"}`+"\n"+row+"\n"), &stdout,
			&stderr)
		require.Equal(t, 1, code, row)
		require.Contains(t, stderr.String(), "prm grade: stdin:2: ", row)
		require.Contains(t, stderr.String(), want, row)
		require.Equal(t, 1, strings.Count(stdout.String(), "\n"), "what came before is there: %s", row)
	}
	for _, args := range []string{"grade", "grade --gold 1", "grade --gold 1 --pred 1 --in f", "grade --pred 1"} {
		code, _, stderr := prmCommand(strings.Fields(args)...)
		require.Equal(t, 2, code, args)
		require.Contains(t, stderr, "see prm grade --help", args)
	}
	dir := t.TempDir()
	in := write(t, filepath.Join(dir, "in.jsonl"), `{"gold":"1","pred":"1"}`+"\n{}\n")
	code, _, stderr := prmCommand("grade", "--in", in, "--out", filepath.Join(dir, "out"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "in.jsonl:2")
	require.NoFileExists(t, filepath.Join(dir, "out"), "no half output")
}

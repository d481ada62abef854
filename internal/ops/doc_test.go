package ops

import (
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documented reads the tables of doc.go: the attribute of each op, "" for none. A row begins with the op's name; what goes on in the next
// line is indented.
func documented(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	require.NoError(t, err)
	found := map[string]string{}
	inGraphs := true
	for line := range strings.SplitSeq(file.Comments[0].Text(), "\n") {
		inGraphs = inGraphs && !strings.HasPrefix(line, "Outside graphs")
		row, isRow := strings.CutPrefix(line, "\t")
		if !isRow || strings.HasPrefix(row, " ") || strings.HasPrefix(row, "op ") {
			continue
		}
		names, rest, _ := strings.Cut(row, "  ") // the rule of the tables: two spaces or more between columns
		attr := ""
		if inGraphs {
			names = strings.TrimSpace(row[:min(19, len(row))])
			attr = strings.TrimSpace(row[19:34])
		}
		require.NotEmpty(t, rest, row)
		for _, name := range strings.Split(names, ", ") {
			require.NotContains(t, found, name)
			found[name] = attr
		}
	}
	return found
}

func TestDocListsEverySignature(t *testing.T) {
	want := map[string]string{}
	for op, sig := range signatures {
		want[op] = ""
		if sig.attr != nil {
			want[op] = strings.TrimPrefix(sig.attr.String(), "ops.")
		}
	}
	require.Equal(t, want, documented(t))
}

// The kinds of compute dtype sort the ops: no form of an op may be of another kind than its first.
func TestKindsOfOps(t *testing.T) {
	for op, sig := range signatures {
		for _, form := range sig.forms {
			require.Equal(t, computeKind(strings.Fields(sig.forms[0])), computeKind(strings.Fields(form)), op)
		}
	}
	require.Equal(t, []string{"linear_add", "linear_dx_add", "linear_swiglu"}, FusedOps())
	require.Contains(t, OpsWithBF16(), "gather_dx", "its first argument is a gradient of parameters' dtype")
	require.NotContains(t, OpsWithBF16(), "layernorm")
	require.True(t, slices.IsSorted(Ops()))
	require.Nil(t, signatures["linear"].attr)
	require.Equal(t, reflect.TypeFor[RoPE](), signatures["rope"].attr)
}

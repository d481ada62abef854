//go:build linux && (amd64 || arm64) && !nocuda && !gpuonly

package cuda

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the count gives for the speeds that are aimed at, where nothing has been measured: cycles of an H200 whose tensor cores would do
// 830 TFLOP/s at its limit of power if they never waited. Instructions are those of ptxas' code, a thread's, where everything is inside.
const (
	countedSMs   = 132
	countedMost  = 830e12                          // flops a second
	countedClock = countedMost / countedSMs / 4096 // cycles a second
	countedPairs = 799. / 777                      // of clusters of two with multicast: a public kernel of the same shape (fast.cu, 8,192³)
	countedTrip  = 800                             // cycles to memory and back
	countedBytes = 3.35e12                         // of memory, a second
	countedPeer  = 790e12                          // flops a second of cuBLAS on a large square
)

// countedSpeed is a product's flops a second.
func countedSpeed(form string, m, n, k int, addend bool) float64 {
	matrices := 1
	if form == "gated" {
		matrices = 2
	}
	seconds := countedLaunch(addend, gemm{form: form, layout: layout{m: m, n: n, k: k}})
	return 2 * float64(m) * float64(n*matrices) * float64(k) / seconds
}

// countedLaunch is the seconds of a launch of products with the same terms.
func countedLaunch(addend bool, products ...gemm) float64 {
	form, k, matrices := products[0].form, products[0].k, 1
	if form == "gated" {
		matrices = 2
	}
	width, tiles := hopperWidth(countedSMs, products...)
	turns := ceilDiv(tiles, countedSMs)
	columns := width / matrices
	bytes, per, more := 2*columns, 43, 0 // a row's, and instructions a panel
	switch {
	case addend:
		per = 193
	case form == "tn":
		bytes, per = 4*columns, 50
	case form == "gated":
		more = 700 // of 64 numbers' logistic
	}
	panels := bytes / 128
	pass := hopperRows * bytes / 128 // cycles in which all of a tile goes through shared memory
	read := max(0, panels-2) * pass / panels
	epilogue := 2*(per*panels+more) + pass + read // two warps share a scheduler
	if addend {
		epilogue += pass
		if panels > 3 {
			epilogue += countedTrip
		}
	}
	multiplied := float64(ceilDiv(k, hopperDepth) * width * 4)
	switch width {
	case 192:
		multiplied *= 1.03
	case 128:
		multiplied *= 1.08
	}
	cycles := float64(turns)*(multiplied+float64(epilogue)) + 2*countedTrip
	seconds := cycles / countedClock
	if p := products[0]; p.paired(countedSMs) {
		flops := 2 * float64(p.m) * float64(p.n*matrices) * float64(k)
		seconds = max(seconds/countedPairs, flops/countedMost)
	}
	return seconds
}

// countedGradients are the flops and seconds of the gradients of a layer's weights, in one launch.
func countedGradients(tokens int, weights []weight) (flops, seconds float64) {
	var products []gemm
	for _, w := range weights {
		products = append(products, gemm{form: "tn", layout: layout{m: w.n, n: w.k, k: tokens}})
		flops += 2 * float64(w.n) * float64(w.k) * float64(tokens)
	}
	return flops, countedLaunch(false, products...)
}

// countedBlocks is the seconds of a causal pass whose blocks have 128 rows of a head, heaviest first; of so many cycles for each 64 keys or
// queries that they meet, and countedStart before and after.
func countedBlocks(tokens, heads int, cycles float64) float64 {
	const countedStart = 4 * countedTrip
	busy := make([]float64, countedSMs)
	for tile := tokens / hopperTile; tile > 0; tile-- {
		for range heads {
			least := 0
			for i := range busy {
				if busy[i] < busy[least] {
					least = i
				}
			}
			busy[least] += float64(2*tile)*cycles + countedStart
		}
	}
	return slices.Max(busy) / countedClock
}

// countedAttention are the seconds of attention over heads of 128 and of its gradient. 128 × 64 × 128 are 512 cycles of the tensor cores,
// and half of a warp's instructions is hidden behind them, of which two share a scheduler: 383 forward, 317 in dq, some 330 in dkv.
func countedAttention(tokens, heads int) (forward, backward float64) {
	forward = countedBlocks(tokens, heads, 2*512+383)
	parts := 2 * 8 * float64(tokens*heads*128) // bytes
	backward = countedBlocks(tokens, heads, 3*512+317) + countedBlocks(tokens, heads, 4*512+330) + parts/(0.75*countedBytes)
	return forward, backward
}

type countedModel struct {
	layerShape
	layers, vocab int
}

var countedModels = []countedModel{{layerShapes[0], 28, 151936}, {layerShapes[1], 28, 152064}}

// seconds of a step of so many tokens: with adapters everywhere, nothing recomputed; or with everything trained.
func (m countedModel) seconds(tokens int, adapters bool) (step, products, attention, others float64) {
	qkv := (m.heads + 2*m.keyHeads) * 128
	type matrix struct {
		n, k             int
		form             string
		addend, dxAddend bool
	}
	kv := matrix{m.keyHeads * 128, m.width, "nt", false, true}
	weights := []matrix{{m.heads * 128, m.width, "nt", false, false}, kv, kv, {m.width, m.width, "nt", true, false},
		{m.inner, m.width, "gated", false, true}, {m.width, m.inner, "nt", true, false}}
	for _, w := range weights {
		flops := 2 * float64(tokens*w.n*w.k)
		if w.form == "gated" {
			flops *= 2
		}
		products += flops / countedSpeed(w.form, tokens, w.n, w.k, w.addend)
		products += flops / countedSpeed("nn", tokens, w.k, w.n, w.dxAddend)
	}
	if !adapters {
		_, seconds := countedGradients(tokens, m.weights())
		products += seconds
	}
	forward, backward := countedAttention(tokens, m.heads)
	attention = forward + backward
	t := float64(tokens)
	others = t * (2*10 + 4*3) * float64(m.width) / (0.6 * countedBytes)               // two norms and their gradients
	others += t * 2 * (2*2*float64(qkv) + 5*float64(m.inner)) / (0.75 * countedBytes) // rope both ways, SwiGLU's gradient
	if adapters {
		k, n := float64(6*m.width+m.inner), float64(2*m.width+2*m.keyHeads*128+2*m.inner+m.width)
		others += t * 8 * (k + n) / (0.6 * countedBytes)
	}
	layers := float64(m.layers)
	products, attention, others = products*layers, attention*layers, others*layers
	if !adapters {
		parameters := layers*float64(m.width*(qkv+m.width+3*m.inner)) + float64(m.vocab*m.width)
		others += parameters * (30 + 4) / (0.85 * countedBytes)
	}
	return products + attention + others, products, attention, others
}

// The table of the README is what the count gives for the kernels as they are. GOPRM_COUNT=1 prints it anew.
func TestCountIsInTheReadme(t *testing.T) {
	var table strings.Builder
	row := func(format string, v ...any) { _, _ = fmt.Fprintf(&table, format+"\n", v...) }
	tera := func(form string, m, n, k int, addend bool) string {
		v := countedSpeed(form, m, n, k, addend)
		return fmt.Sprintf("%.0f (%.2f)", v/1e12, v/countedPeer)
	}
	for _, s := range shapes {
		first := tera("nt", 4096, s.n, s.k, strings.HasSuffix(s.name, "/o") || strings.HasSuffix(s.name, "/down"))
		last := "in its layer's"
		if s.name == "square" {
			last = tera("tn", s.n, s.k, 4096, false)
		}
		row("| %s | %s | %s | %s |", s.name, first, tera("nn", 4096, s.k, s.n, false), last)
	}
	for _, l := range layerShapes {
		flops, seconds := countedGradients(4096, l.weights())
		row("| %s | | | %.0f (%.2f) |", l.name, flops/seconds/1e12, flops/seconds/countedPeer)
	}
	for _, heads := range []int{12, 28} {
		for _, tokens := range []int{2048, 4096, 8192} {
			forward, backward := countedAttention(tokens, heads)
			flops := 2 * float64(heads*128) * float64(tokens) * float64(tokens) / 1e12
			row("| attention, %d heads of 128, %d tokens | %.0f | %.0f | |", heads, tokens, flops/forward, 2.5*flops/backward)
		}
	}
	for _, m := range countedModels {
		for _, adapters := range []bool{true, false} {
			step, products, attention, others := m.seconds(4096, adapters)
			row("| %s, %s | %.0f tokens/s | %.0f ms | products %.0f, attention %.0f, the rest %.0f |", strings.TrimSuffix(m.name, "/layer"),
				map[bool]string{true: "adapters everywhere", false: "everything trained"}[adapters], 4096/step, step*1e3, products*1e3,
				attention*1e3, others*1e3)
		}
	}
	if os.Getenv("GOPRM_COUNT") != "" {
		fmt.Print(table.String())
	}
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), table.String(), "GOPRM_COUNT=1 go test -run TestCountIsInTheReadme ./cuda prints it")
}

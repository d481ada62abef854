package vector

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Peak writes a function that applies one instruction to as many registers as a tile accumulates in, n times over: what the processor
// reaches at best. It returns nothing, since only its time is of interest.
func Peak(s Set, name, what string, do func(x, y, sum reg.VecVirtual)) {
	sums := make([]reg.VecVirtual, s.MR*2)
	TEXT(name, NOSPLIT, "func(n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s does n times %d independent %s, on zeros.", name, len(sums), what))
	n := Load(Param("n"), GP64())
	x, y := s.New(), s.New()
	s.Zero(x)
	s.Zero(y)
	for i := range sums {
		sums[i] = s.New()
		s.Zero(sums[i])
	}
	Label("loop")
	for _, sum := range sums {
		do(x, y, sum)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

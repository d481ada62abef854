package grade

// withSigns compares an answer that has ± in it: it stands for one answer for the upper signs and one for the lower signs.
func (g *grader) withSigns(gold, pred *node) Decision {
	if x, y := excluded(gold), excluded(pred); x != gold || y != pred {
		return g.same(x, y)
	}
	a, b := bothSigns(gold), bothSigns(pred)
	if len(a) > maxSigns || len(b) > maxSigns {
		return g.undecided("too many ± signs")
	}
	return g.unordered(a, b)
}

// bothSigns are the readings of each element.
func bothSigns(n *node) []*node {
	var out []*node
	for _, e := range elements(n) {
		if !e.has(signs) {
			out = append(out, e)
			continue
		}
		name, value := definition(e)
		if value == nil {
			value = e
		}
		for _, upper := range []bool{true, false} {
			read := withSign(value, upper)
			if name != nil {
				read = &node{kind: relation, ops: []string{"="}, args: []*node{name, read}}
			}
			out = append(out, read)
		}
	}
	return out
}

func withSign(n *node, upper bool) *node {
	if !n.has(signs) {
		return n
	}
	c := *n
	c.key, c.nodes, c.args = "", 0, make([]*node, len(n.args))
	for i, a := range n.args {
		c.args[i] = withSign(a, upper)
	}
	if n.kind == signs {
		if (n.name == "+-") == upper {
			return c.args[0]
		}
		return newNode(negative, c.args[0])
	}
	return &c
}

// excluded is x ≠ ±3 as x ≠ 3 and x ≠ -3, and everything else as it is.
func excluded(n *node) *node {
	if n.kind != relation || len(n.ops) != 1 || n.ops[0] != "!=" || !n.args[1].has(signs) || n.args[0].has(signs) {
		return n
	}
	both := named(list, "and")
	for _, upper := range []bool{true, false} {
		both.args = append(both.args, &node{kind: relation, ops: n.ops, args: []*node{n.args[0], withSign(n.args[1], upper)}})
	}
	return both
}

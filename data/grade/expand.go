package grade

import "slices"

// chained is a = b = 0 as a = 0 and b = 0, where the other side is a list of as many; everything else is returned as it is.
func chained(n, other *node) *node {
	if n.kind != relation || other.kind != list || len(n.ops) != len(other.args) || len(n.ops) < 2 ||
		slices.ContainsFunc(n.ops, func(op string) bool { return op != "=" }) {
		return n
	}
	value := n.args[len(n.ops)]
	all := named(list, "and")
	for _, name := range n.args[:len(n.ops)] {
		if name.kind != symbol {
			return n
		}
		all.args = append(all.args, &node{kind: relation, ops: []string{"="}, args: []*node{name, value}})
	}
	return all
}

// writtenOut puts the integers for the dots of 1, 2, 3, ..., 9 and 2, 4, 6, ..., 20: a step of one from two numbers before the dots, any
// other from three.
func writtenOut(nodes []*node) []*node {
	at := slices.IndexFunc(nodes, func(n *node) bool { return n.is(symbol, `\dots`) })
	if at < 2 || at+2 != len(nodes) {
		return nodes
	}
	values := make([]int64, len(nodes))
	for i, n := range nodes {
		inner, sign := n, int64(1)
		if n.kind == negative {
			inner, sign = n.args[0], -1
		}
		if i != at && (!inner.isInteger() || !inner.value.Num().IsInt64() || inner.value.Num().BitLen() > 30) {
			return nodes
		}
		if i != at {
			values[i] = sign * inner.value.Num().Int64()
		}
	}
	step := values[1] - values[0]
	for i := 1; i < at; i++ {
		if values[i]-values[i-1] != step {
			return nodes
		}
	}
	if step == 0 || at == 2 && step != 1 && step != -1 {
		return nodes
	}
	count := (values[at+1]-values[at-1])/step - 1
	if (values[at+1]-values[at-1])%step != 0 || count < 1 || count > maxElements {
		return nodes
	}
	out := slices.Clone(nodes[:at])
	for k := int64(1); k <= count; k++ {
		if v := values[at-1] + k*step; v < 0 {
			out = append(out, newNode(negative, integer(-v)))
		} else {
			out = append(out, integer(v))
		}
	}
	return append(out, nodes[at+1])
}

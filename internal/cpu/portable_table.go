package cpu

// portable holds a kernel of every op. It is the specification: results of other tables differ from it by rounding only.
var portable = map[string]compile{}

// Package engine runs Gorgonia graphs: a Value of our own (Tensor), an Op of our own (Op), a gorgonia.VM of our own
// (Machine), and the interface that a backend implements (Backend).
//
// Gorgonia holds the graph and derives the backward pass. The machine schedules only what the requested outputs need,
// plans one arena by liveness, recomputes between kept nodes when asked, and then runs a flat list of launches with
// fixed addresses. It knows neither models nor kernels: internal/ops names the ops, a backend has their kernels.
package engine

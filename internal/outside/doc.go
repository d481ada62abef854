// Package outside is a program of somebody else's: a module of its own, which can import no internal package of goprm. Its tests do
// what the library promises to such programs.
package outside

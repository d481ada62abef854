//go:build !linux

package filememo

func stateOf(string, string) (state, bool) { return state{}, false }

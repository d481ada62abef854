package modelfolder

import "runtime/debug"

// ProgramVersion is the program's own version, or the module's.
func ProgramVersion(given string) string {
	if given != "" {
		return given
	}
	const module = "github.com/goprm/goprm"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return "unknown"
}

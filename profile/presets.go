package profile

import (
	"embed"
	"slices"
)

//go:embed presets/*.toml
var presetFiles embed.FS

// presetPrefix begins the name of a preset's layer.
const presetPrefix = "preset "

// Presets returns the names of the presets to choose from.
func Presets() []string { return []string{"default", "ci", "strict", "claude", "codex"} }

// Preset returns a preset as a layer. Besides those of [Presets] there is
// "base", which they all extend.
func Preset(name string) (Layer, bool) {
	if name != "base" && !slices.Contains(Presets(), name) {
		return Layer{}, false
	}
	data, err := presetFiles.ReadFile("presets/" + name + ".toml")
	if err != nil {
		return Layer{}, false
	}
	return Layer{Name: presetPrefix + name, Kind: Builtin, Trusted: true, Data: data}, true
}

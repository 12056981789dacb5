package profile

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
)

func TestEveryPresetPassesCheckAndIsTheGoldenFile(t *testing.T) {
	for _, name := range Presets() {
		t.Run(name, func(t *testing.T) {
			l, ok := Preset(name)
			if !ok {
				t.Fatal("there is no such preset")
			}
			e, fs := Merge([]Layer{l}, nil)
			if fs = append(fs, Check(e)...); len(fs) > 0 {
				t.Fatal(fs)
			}
			if fs := CheckAt(e, "/home/me/project", "/home/me"); len(fs) > 0 {
				t.Fatal(fs)
			}
			out, err := json.MarshalIndent(e.Profile, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("..", "testdata", "profiles", "presets", name+".json"), append(out, '\n'))
		})
	}
}

func TestStrictNeverDegrades(t *testing.T) {
	l, _ := Preset("strict")
	e, _ := Merge([]Layer{l}, nil)
	if len(e.Profile.Agent.Degrade) > 0 {
		t.Errorf("strict degrades %q", e.Profile.Agent.Degrade)
	}
	l, _ = Preset("ci")
	if e, _ := Merge([]Layer{l}, nil); slices.Contains(e.Profile.Agent.Degrade, DegradeLandlock) {
		t.Error("ci may run without landlock")
	}
}

func TestThereIsNoOtherPreset(t *testing.T) {
	for _, name := range []string{"", "Default", "../base", "base.toml", "presets/base"} {
		if _, ok := Preset(name); ok {
			t.Errorf("there is a preset %q", name)
		}
	}
}

package profile

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file, or rewrites the file.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// fieldPaths returns the schema path of every field of a profile.
func fieldPaths(t reflect.Type, path string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		here := join2(path, f.Tag.Get("toml"))
		switch {
		case f.Type.Kind() == reflect.Struct:
			out = append(out, fieldPaths(f.Type, here)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			out = append(append(out, here), fieldPaths(f.Type.Elem(), here+"[]")...)
		default:
			out = append(out, here)
		}
	}
	return out
}

func TestEveryFieldOfTheProfileHasAKey(t *testing.T) {
	var keys []string
	for _, k := range Schema() {
		keys = append(keys, k.Path)
	}
	if diff := cmp.Diff(fieldPaths(reflect.TypeOf(Profile{}), ""), keys); diff != "" {
		t.Errorf("fields against keys, in order (-fields +keys):\n%s", diff)
	}
}

func TestEveryKeySaysWhatItIs(t *testing.T) {
	for _, k := range Schema() {
		if k.Meaning == "" || !strings.HasSuffix(k.Meaning, ".") || k.Type == "" {
			t.Errorf("%s: no meaning that is a sentence, or no type", k.Path)
		}
		if k.Direction == Undecided || k.Direction > Superset {
			t.Errorf("%s: nobody decided how an untrusted file may move it", k.Path)
		}
		if k.Direction == Lower && k.Type == TypeString && len(k.Enum) == 0 {
			t.Errorf("%s: a word can only be lower than another in Enum", k.Path)
		}
		if k.Default != "" && defaultValue(k) == nil {
			t.Errorf("%s: default %q cannot be read", k.Path, k.Default)
		}
		if (k.Type == TypeSize || k.Type == TypeDuration) && k.Unit == "" {
			t.Errorf("%s: no unit", k.Path)
		}
	}
}

func TestJSONTagsAreTheTOMLTags(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(rt reflect.Type) {
		for i := range rt.NumField() {
			f := rt.Field(i)
			if f.Tag.Get("toml") == "" || f.Tag.Get("json") != f.Tag.Get("toml") {
				t.Errorf("%s.%s: toml %q, json %q", rt.Name(), f.Name, f.Tag.Get("toml"), f.Tag.Get("json"))
			}
			ft := f.Type
			if ft.Kind() == reflect.Slice {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				walk(ft)
			}
		}
	}
	walk(reflect.TypeOf(Profile{}))
}

func TestJSONSchemaIsTheGoldenFile(t *testing.T) {
	got := JSONSchema()
	if !json.Valid(got) {
		t.Fatal("not JSON")
	}
	golden(t, filepath.Join("..", "docs", "profile.schema.json"), got)
}

func TestMarkdownNamesEveryKey(t *testing.T) {
	got := Markdown()
	for _, k := range Schema() {
		want := "`" + k.name() + "` = "
		if k.Type == TypeRows {
			want = "### [[" + k.Path + "]]"
		}
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s is not in the manual", k.Path)
		}
		if !bytes.Contains(got, []byte(k.Meaning)) {
			t.Errorf("the meaning of %s is not in the manual", k.Path)
		}
	}
}

package profile

import (
	"bytes"
	"fmt"
	"strings"
)

// Markdown returns the reference section of the manual page: every key with its
// meaning, type, default and direction. It is generated from [Schema].
func Markdown() []byte {
	var b bytes.Buffer
	b.WriteString("### Top level\n\n")
	writeKeys(&b, "", false)
	for _, s := range sectionTable {
		fmt.Fprintf(&b, "### [%s]\n\n%s\n\n", s.Path, s.Meaning)
		writeKeys(&b, s.Path, false)
		writeRows(&b, s.Path)
		if s.Path == "workspace" {
			writeTable(&b, "mount")
		}
	}
	for _, k := range schemaTable {
		if k.Type == TypeRows && k.parent() == "" && k.Path != "mount" {
			writeTable(&b, k.Path)
		}
	}
	return b.Bytes()
}

func writeRows(b *bytes.Buffer, section string) {
	for _, k := range children(section) {
		if k.Type == TypeRows {
			writeTable(b, k.Path)
		}
	}
}

func writeTable(b *bytes.Buffer, path string) {
	k, ok := lookupKey(path)
	if !ok {
		return
	}
	fmt.Fprintf(b, "### [[%s]]\n\n%s%s %s\n\n", k.Path, k.Meaning, available(k), movement(k))
	writeKeys(b, k.Path+"[]", !k.Built)
}

// writeKeys writes the keys of a table as a definition list; notBuilt says that
// the heading has already told that they are not available.
func writeKeys(b *bytes.Buffer, parent string, notBuilt bool) {
	for _, k := range children(parent) {
		if k.Type == TypeRows {
			continue
		}
		fmt.Fprintf(b, "`%s` = %s", k.name(), typeText(k))
		if k.Default != "" {
			fmt.Fprintf(b, ", default `%s`", k.Default)
		}
		missing := available(k)
		if notBuilt {
			missing = ""
		}
		fmt.Fprintf(b, "\n: %s%s %s\n\n", k.Meaning, missing, movement(k))
	}
}

func typeText(k Key) string {
	t := map[string]string{
		TypeString: "string", TypeInteger: "whole number", TypeNumber: "number", TypeBoolean: "`true` or `false`", TypeSize: "size", TypeDuration: "duration",
		TypeList: "list of strings", TypeArgv: "list of strings, replaced as a whole", TypeTable: "table of strings",
	}[k.Type]
	if k.Unit != "" {
		t += " (" + k.Unit + ")"
	}
	if len(k.Enum) > 0 {
		t += ": `" + strings.Join(k.Enum, "`, `") + "`"
	}
	return t
}

func available(k Key) string {
	switch {
	case !k.Built:
		return " **Not available in this version.**"
	case len(k.NotBuilt) > 0:
		return " **Not available in this version: `" + strings.Join(k.NotBuilt, "`, `") + "`.**"
	}
	return ""
}

// movement says what an untrusted file may do with a key.
func movement(k Key) string {
	text := "not change it"
	switch k.Direction {
	case Lower:
		text = "lower it"
		if k.ordered() {
			text = "move it towards `" + k.Enum[0] + "`"
		}
	case Subset:
		text = "keep only some of it"
		if k.Type == TypeRows {
			text = "tighten the ones there are"
		}
	case Superset:
		text = "add to it"
	}
	return "An untrusted file may " + text + "."
}

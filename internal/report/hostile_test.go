package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"agentbox/internal/audit"
	"agentbox/internal/boxtest"
	"agentbox/internal/boxtest/browser"
)

// everything is a session with one record of every type that there is, twice, in which each text is x and each number the
// same: once every flag is set, once none is.
func everything(t testing.TB, x string) (list []happening) {
	t.Helper()
	for _, flags := range []bool{false, true} {
		for _, kind := range kinds(t) {
			e, err := audit.Record{Type: audit.Text(kind), Data: json.RawMessage(`{}`)}.Event()
			if err != nil {
				t.Fatal(err)
			}
			fill(reflect.ValueOf(e).Elem(), x, flags)
			list = append(list, happening{float64(len(list)), e})
		}
	}
	return list
}

// kinds are the types of records that the schema describes.
func kinds(t testing.TB) (list []string) {
	t.Helper()
	var schema struct{ OneOf []struct{ Title string } }
	data, err := os.ReadFile("../../docs/audit-log.schema.json")
	if err == nil {
		err = json.Unmarshal(data, &schema)
	}
	if err != nil || len(schema.OneOf) < 20 {
		t.Fatalf("%d types of records, %v", len(schema.OneOf), err)
	}
	for _, one := range schema.OneOf {
		list = append(list, one.Title)
	}
	return list
}

func fill(v reflect.Value, x string, flags bool) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(x)
	case reflect.Bool:
		v.SetBool(flags)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), x, flags)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			data, _ := json.Marshal(map[string]string{x: x})
			v.SetBytes(data)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), x, flags)
		}
	}
}

// hostileReport is that of everything, and of what verification says of a log that somebody wrote by hand.
func hostileReport(t testing.TB, x string) *Report {
	t.Helper()
	r := told(t, everything(t, x))
	r.Session = Text(x)
	r.Verification = audit.Report{Verdict: audit.Broken, Session: x, Records: 7, Parts: 1, Line: 7, Why: x, Last: x, Key: x}
	return r
}

// texts are the hostile ones, long ones, and each inside of a longer one.
func texts(t testing.TB) []string {
	list := boxtest.HostileTexts(t)
	for _, x := range slices.Clone(list) {
		list = append(list, "before "+x+" after")
	}
	return append(list, strings.Repeat("A<b>", 1000), strings.Repeat("\x1b[2J", 1000), strings.Repeat("\u202e", 400), strings.Repeat("a", 299)+"<script>", strings.Repeat("漢", 299)+"\x1b]52;c;eA==\a")
}

func TestHostileTextsAreText(t *testing.T) {
	var clean bytes.Buffer
	if err := hostileReport(t, "harmless").WriteHTML(&clean); err != nil {
		t.Fatal(err)
	}
	want := shape(t, clean.Bytes())
	lines := strings.Count(asText(t, hostileReport(t, "harmless")), "\n")
	for _, x := range texts(t) {
		r := hostileReport(t, x)
		var page, data bytes.Buffer
		if err := r.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		if got := shape(t, page.Bytes()); !slices.Equal(got, want) {
			t.Errorf("%.60q makes another page", x)
		}
		text := asText(t, r)
		if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) && c != '\n' }) || strings.Count(text, "\n") != lines {
			t.Errorf("%.60q: a terminal obeys something in the text, or it has other lines", x)
		}
		if err := r.WriteJSON(&data); err != nil || !json.Valid(data.Bytes()) || strings.ContainsFunc(data.String(), func(c rune) bool { return c > '~' || c < ' ' && c != '\n' }) {
			t.Errorf("%.60q: the JSON is none, or not ASCII (%v)", x, err)
		}
	}
}

// A text of a mebibyte, of which the log has the beginning, does not fill a page.
func TestLongTexts(t *testing.T) {
	for _, x := range []string{strings.Repeat("A<b>", 1<<18), strings.Repeat("\x1b[2J", 1<<18), strings.Repeat("a", 1<<20) + "<script>"} {
		var page bytes.Buffer
		if err := logged(t, session(audit.Text(x))...).WriteHTML(&page); err != nil || page.Len() > 200_000 {
			t.Errorf("%.20q: %d bytes, %v", x, page.Len(), err)
		}
		shape(t, page.Bytes())
	}
}

func asText(t testing.TB, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What is anybody's stands in blocks of code of the text, which a renderer of Markdown shows as it is: each line has four
// blanks, and before the first stands a heading.
func TestTextIsInertMarkdown(t *testing.T) {
	ours := map[string]bool{}
	for line := range strings.Lines(asText(t, hostileReport(t, "harmless"))) {
		if !strings.HasPrefix(line, "    ") {
			ours[line] = true
		}
	}
	if len(ours) < 10 {
		t.Fatalf("only %v are ours", ours)
	}
	for _, x := range texts(t) {
		before := "" // the last line that is neither blank nor of a block
		for line := range strings.Lines(asText(t, hostileReport(t, x))) {
			switch {
			case !strings.HasPrefix(line, "    "):
				if !ours[line] {
					t.Errorf("%.60q makes the line %q", x, line)
				}
				if line != "\n" {
					before = line
				}
			case !strings.HasPrefix(before, "#"):
				t.Errorf("%q stands behind %q", line, before)
			}
		}
	}
}

// outline is each element of the page with its attributes, and the values of those that are not a drawing's.
const outline = `[...document.querySelectorAll("*")].map(e => e.tagName + [...e.attributes].map(a =>
	" " + a.name + (/^(points|datetime|value|aria-label)$/.test(a.name) ? "" : "=" + a.value)).join("")).join("\n")`

// In a browser, a hostile text makes the page that a harmless one makes, runs nothing and asks nobody. Written without an
// escape, many of them do.
func TestHostileTextsInABrowser(t *testing.T) {
	boxtest.Need(t, boxtest.Chromium)
	b := browser.Start(t)
	look := func(t *testing.T, url string) (seen string, obeyed bool, p *browser.Page) {
		p = b.Open(t, url, browser.View{Width: 1280})
		defer p.Close()
		p.Eval(outline, &seen)
		p.Eval(`typeof window.obeyed !== "undefined"`, &obeyed)
		return seen, obeyed, p
	}
	url, _ := written(t, hostileReport(t, "harmless"))
	want, _, _ := look(t, url)
	dangerous := 0
	for i, x := range boxtest.HostileTexts(t) {
		t.Run(fmt.Sprint("text ", i), func(t *testing.T) {
			url, _ := written(t, hostileReport(t, x))
			seen, obeyed, p := look(t, url)
			if seen != want {
				t.Errorf("%q: the page has other elements or attributes", x)
			}
			if asked := p.Requests(); obeyed || len(asked) != 1 || len(p.Complaints()) != 0 {
				t.Errorf("%q: a script ran: %t; it asked for %q; the browser says %q", x, obeyed, asked, p.Complaints())
			}
			if strings.Contains(x, "http-equiv=refresh") {
				return // away from where anybody looks
			}
			raw := filepath.Join(t.TempDir(), "raw.html")
			if err := os.WriteFile(raw, []byte(`<!DOCTYPE html><meta charset="utf-8"><title>`+x+`</title><p title='`+x+`'>`+x), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, obeyed, p := look(t, "file://"+raw); obeyed || len(p.Requests()) > 1 {
				dangerous++
			}
		})
	}
	if dangerous < 10 {
		t.Errorf("only %d texts do anything where nothing stops them", dangerous)
	}
}

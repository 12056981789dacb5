package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func value(t *testing.T, text string) Value {
	t.Helper()
	v, err := newValue(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAValueShowsItselfNowhere(t *testing.T) {
	const text = "s3cret"
	v := value(t, text)
	type holder struct {
		Name   string
		hidden Value
		Shown  *Value
	}
	h := holder{"x", v, &v}
	source := &Source{value: v}
	for _, verb := range "vsqxXdpbocUeEfFgGtTw" {
		for _, flag := range []string{"", "+", "#", "20", "-.2", " "} {
			format := "%" + flag + string(verb)
			for _, shown := range []any{v, &v, h, &h, []Value{v}, map[string]Value{"k": v}, source, reading{value: v}} {
				if got := fmt.Sprintf(format, shown); strings.Contains(got, text) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", text)) {
					t.Errorf("%s: %s", format, got)
				}
			}
			if got := fmt.Sprintf(format, v); got != "[secret]" && verb != 'p' && verb != 'T' && verb != 'w' {
				t.Errorf("%s: %s", format, got)
			}
		}
	}
	data, err := json.Marshal(map[string]any{"v": v, "p": &v, "h": h})
	if want := `{"h":{"Name":"x","Shown":"[secret]"},"p":"[secret]","v":"[secret]"}`; err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
	if data, err := json.Marshal(map[Value]int{v: 1}); err != nil || string(data) != `{"[secret]":1}` {
		t.Errorf("%s, %v", data, err)
	}
	joined := errors.Join(fmt.Errorf("one: %v", v), fmt.Errorf("two: %s", &v))
	if joined.Error() != "one: [secret]\ntwo: [secret]" {
		t.Error(joined)
	}
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("a", "v", v, "p", &v, "h", h, slog.Any("s", source))
	}
	if strings.Contains(out.String(), text) || !strings.Contains(out.String(), "[secret]") {
		t.Errorf("%s", &out)
	}
	if v.Reveal() != text || v.IsZero() {
		t.Error("it is not what it was")
	}
}

func TestNoValue(t *testing.T) {
	var v Value
	if !v.IsZero() || v.Reveal() != "" || v.String() != "[secret]" {
		t.Errorf("%q", v.Reveal())
	}
}

func TestWhatNoHeaderCarriesIsRefused(t *testing.T) {
	for name, text := range map[string]string{"a line break": "s3c\nret", "a return": "s3c\rret", "a NUL": "s3c\x00ret", "a tab": "s3c\tret", "a delete": "s3c\x7fret", "an escape": "\x1b[s3cret"} {
		if v, err := newValue(text); err == nil || !v.IsZero() || strings.Contains(err.Error(), "s3c") || !strings.Contains(err.Error(), "control character") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{"a space": "s3 cret", "other letters": "sécret", "other bytes": "\x80\xff"} {
		if v, err := newValue(text); err != nil || v.Reveal() != text {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what is shown of a secret.
const redacted = "[secret]"

// A Value is a secret. It prints as "[secret]" by every verb, in JSON, in errors and in logs; Reveal alone gives the text.
// The zero value is none.
type Value struct {
	// A pointer, as fmt calls no method of a value in an unexported field of somebody's struct, nor for %p: they show an
	// address.
	text *string
}

// newValue refuses what would end a header's line, or the header.
func newValue(text string) (Value, error) {
	if text == "" {
		return Value{}, errors.New("it is empty")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return Value{}, errors.New("it has a control character inside, such as a line break, and no header can carry that")
		}
	}
	return Value{&text}, nil
}

// Reveal returns the secret's text.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero says that there is no secret.
func (v Value) IsZero() bool { return v.text == nil }

// String is "[secret]".
func (v Value) String() string { return redacted }

// GoString is "[secret]".
func (v Value) GoString() string { return redacted }

// Format writes "[secret]", whatever the verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is "[secret]".
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON is "[secret]" as a string.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue is "[secret]".
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

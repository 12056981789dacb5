package audit

import (
	"bufio"
	"errors"
	"io"
	"iter"
)

// Records reads a log's whole records, one after the other. A line that is not a record, or not as it was written,
// ends them with an error; a record that was being written when the writer died is left out.
func Records(r io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := bufio.NewReaderSize(r, 64<<10)
		for {
			line, whole, err := readLine(lines)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Record{}, err)
				return
			}
			if !whole {
				return
			}
			rec, err := ParseRecord(line)
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

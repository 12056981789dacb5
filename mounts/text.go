package mounts

import (
	"strconv"
	"strings"
)

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// join adds filesystem options to a comma-separated list.
func join(list string, more ...string) string {
	if list != "" {
		more = append([]string{list}, more...)
	}
	return strings.Join(more, ",")
}

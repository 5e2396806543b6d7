package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

const (
	leafPage     = 0x0d
	interiorPage = 0x05
	// No path from a table's root is longer, and no row that is read here is larger, in a file that is in order.
	maxDepth    = 30
	maxRowBytes = 16 << 20
)

var errMalformed = errors.New("the file is malformed")

// readTable returns the rows of a table, each by the names of its columns; integers are int64, texts are string, anything
// else is nil. A file without the table has no rows.
func readTable(path, name string) ([]map[string]any, error) {
	var rows []map[string]any
	err := readSnapshot(path, func(s *snapshot) error {
		rows = nil
		root, columns, err := s.find(name)
		if err != nil || root == 0 {
			return err
		}
		return s.walk(root, 0, func(values []any) {
			row := make(map[string]any, len(columns))
			for i, column := range columns {
				if i < len(values) {
					row[column] = values[i]
				}
			}
			rows = append(rows, row)
		})
	})
	return rows, err
}

// find returns a table's first page and its columns; 0 where there is no such table.
func (s *snapshot) find(name string) (root uint32, columns []string, err error) {
	err = s.walk(1, 0, func(values []any) {
		if len(values) < 5 || values[0] != "table" || values[1] != name {
			return
		}
		number, _ := values[3].(int64)
		declaration, _ := values[4].(string)
		root, columns = uint32(number), columnsOf(declaration)
	})
	return root, columns, err
}

// walk hands over the rows of the table below a page, in order.
func (s *snapshot) walk(number uint32, depth int, each func([]any)) error {
	if depth > maxDepth {
		return errMalformed
	}
	page, err := s.page(number)
	if err != nil {
		return err
	}
	head := page
	if number == 1 {
		head = page[headerBytes:]
	}
	cells := int(binary.BigEndian.Uint16(head[3:]))
	pointers := head[8:]
	if head[0] == interiorPage {
		pointers = head[12:]
	} else if head[0] != leafPage {
		return fmt.Errorf("%w: page %d is none of a table", errMalformed, number)
	}
	if len(pointers) < 2*cells {
		return errMalformed
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(pointers[2*i:]))
		if at+4 > len(page) {
			return errMalformed
		}
		if head[0] == interiorPage {
			if err := s.walk(binary.BigEndian.Uint32(page[at:]), depth+1, each); err != nil {
				return err
			}
			continue
		}
		record, err := s.record(page[at:])
		if err != nil {
			return err
		}
		values, err := valuesOf(record)
		if err != nil {
			return err
		}
		each(values)
	}
	if head[0] == interiorPage {
		return s.walk(binary.BigEndian.Uint32(head[8:]), depth+1, each)
	}
	return nil
}

// record returns the content of a cell, put together from the pages that it overflows to.
func (s *snapshot) record(cell []byte) ([]byte, error) {
	size, n := varint(cell)
	_, m := varint(cell[n:]) // The row's number.
	if n == 0 || m == 0 || size > maxRowBytes {
		return nil, errMalformed
	}
	cell = cell[n+m:]
	total, usable := int(size), s.usable()
	local := total
	if most := usable - 35; total > most {
		least := (usable-12)*32/255 - 23
		if local = least + (total-least)%(usable-4); local > most {
			local = least
		}
	}
	if local == total {
		if total > len(cell) {
			return nil, errMalformed
		}
		return cell[:total], nil
	}
	if local+4 > len(cell) {
		return nil, errMalformed
	}
	record := append(make([]byte, 0, total), cell[:local]...)
	next := binary.BigEndian.Uint32(cell[local:])
	for len(record) < total {
		page, err := s.page(next)
		if err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(page)
		record = append(record, page[4:min(usable, 4+total-len(record))]...)
	}
	return record, nil
}

// valuesOf returns the columns of a record.
func valuesOf(record []byte) ([]any, error) {
	size, n := varint(record)
	if n == 0 || size > uint64(len(record)) || size < uint64(n) {
		return nil, errMalformed
	}
	types, content := record[n:size], record[size:]
	var values []any
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 {
			return nil, errMalformed
		}
		types = types[n:]
		width := widthOf(kind)
		if width > uint64(len(content)) {
			return nil, errMalformed
		}
		values = append(values, valueOf(kind, content[:width]))
		content = content[width:]
	}
	return values, nil
}

func widthOf(kind uint64) uint64 {
	switch {
	case kind <= 4:
		return kind
	case kind == 5:
		return 6
	case kind == 6, kind == 7:
		return 8
	case kind < 12:
		return 0
	}
	return (kind - 12) / 2
}

func valueOf(kind uint64, content []byte) any {
	switch {
	case kind >= 1 && kind <= 6:
		var number uint64
		if content[0]&0x80 != 0 {
			number = math.MaxUint64
		}
		for _, digit := range content {
			number = number<<8 | uint64(digit)
		}
		return int64(number)
	case kind == 8, kind == 9:
		return int64(kind - 8)
	case kind >= 13 && kind%2 == 1:
		return string(content)
	}
	return nil
}

// varint returns a number of up to nine bytes, and how many it took; 0 where there are too few.
func varint(data []byte) (uint64, int) {
	var number uint64
	for i, digit := range data {
		if i == 8 {
			return number<<8 | uint64(digit), 9
		}
		number = number<<7 | uint64(digit&0x7f)
		if digit&0x80 == 0 {
			return number, i + 1
		}
	}
	return 0, 0
}

// columnsOf returns the names of the columns that a CREATE TABLE statement declares.
func columnsOf(declaration string) []string {
	var columns []string
	depth, first := 0, true
	for rest := declaration; rest != ""; {
		token, after := nextToken(rest)
		rest = after
		switch {
		case token == "":
		case token == "(":
			depth++
		case token == ")":
			depth--
		case depth == 1 && token == ",":
			first = true
		case depth == 1 && first:
			first = false
			if !isConstraint(token) {
				columns = append(columns, unquoted(token))
			}
		}
	}
	return columns
}

// nextToken returns the first word, quoted name or sign of a text, and the rest; "" for a comment and for a space.
func nextToken(text string) (token, rest string) {
	closing := map[byte]string{'"': `"`, '\'': "'", '`': "`", '[': "]"}
	switch {
	case strings.HasPrefix(text, "--"):
		_, rest, _ = strings.Cut(text, "\n")
		return "", rest
	case strings.HasPrefix(text, "/*"):
		_, rest, _ = strings.Cut(text[2:], "*/")
		return "", rest
	case closing[text[0]] != "":
		end := strings.Index(text[1:], closing[text[0]])
		if end < 0 {
			return text, ""
		}
		return text[:end+2], text[end+2:]
	case strings.ContainsRune(" \t\r\n", rune(text[0])):
		return "", text[1:]
	}
	end := strings.IndexAny(text, " \t\r\n(),\"'`[")
	if end < 0 {
		end = len(text)
	}
	return text[:max(end, 1)], text[max(end, 1):]
}

func isConstraint(word string) bool {
	switch strings.ToUpper(word) {
	case "CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN":
		return true
	}
	return false
}

func unquoted(name string) string {
	if len(name) >= 2 && strings.ContainsRune("\"'`[", rune(name[0])) {
		return name[1 : len(name)-1]
	}
	return name
}

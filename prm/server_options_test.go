package prm

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every option that the server itself reads is taken over under its name.
func TestServerOptionsReachTheServer(t *testing.T) {
	var opt ServerOptions
	given := reflect.ValueOf(&opt).Elem()
	for i := range given.NumField() {
		switch field := given.Field(i); field.Kind() {
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		case reflect.String:
			field.SetString(given.Type().Field(i).Name)
		case reflect.Int, reflect.Int64:
			field.SetInt(int64(i + 1))
		}
	}
	taken := reflect.ValueOf(opt.serve())
	for i := range taken.NumField() {
		name := taken.Type().Field(i).Name
		require.False(t, taken.Field(i).IsZero(), name)
		if name != "Verifier" && name != "Tokens" { // of other types, or filled
			require.Equal(t, given.FieldByName(name).Interface(), taken.Field(i).Interface(), name)
		}
	}
}

package grade

// Every bound that keeps hostile input cheap. Beyond one of them an answer is compared as text, or left undecided.
const (
	maxText      = 4 << 20 // bytes of a text in which an answer is looked for
	maxAnswer    = 4096    // bytes of an answer that is parsed
	maxTokens    = 2048    // tokens of an answer
	maxDepth     = 64      // nesting of brackets, scripts and arguments
	maxExponent  = 4000    // decimal exponent of a number literal, as in 1E400
	maxBits      = 1 << 14 // bits of an exact numerator or denominator
	maxLog2      = 1 << 16 // magnitude of an inexact value, as a power of two
	maxFactorial = 1000
	maxTerms     = 1000    // terms of a sum or product that is evaluated
	maxElements  = 256     // elements of a list, set, tuple or matrix
	maxSigns     = 16      // readings of an answer with ± signs
	maxWork      = 100_000 // operations of one comparison; a transcendental function counts as many
)

const (
	precision = 320 // bits of inexact values
	sameBits  = 180 // two values are equal if they differ by less than 2^-sameBits, relative to the larger one or to 1
	farBits   = 100 // and different if they differ by more than 2^-farBits; in between nothing is said
)

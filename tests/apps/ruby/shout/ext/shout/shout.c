#include <ctype.h>
#include <ruby.h>

static VALUE up(VALUE self, VALUE text)
{
    VALUE copy = rb_str_dup(text);
    char *at = StringValueCStr(copy);

    for (; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    return copy;
}

void Init_shout(void)
{
    rb_define_module_function(rb_define_module("Shout"), "up", up, 1);
}

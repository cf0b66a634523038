/* Prints how wide the code for its argument is: uses a library that only the Aptfile brings. */
#include <qrencode.h>
#include <stdio.h>

int main(int count, char **words)
{
    QRcode *code = QRcode_encodeString(count > 1 ? words[1] : "", 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (code == NULL)
        return 1;
    printf("%d\n", code->width);
    QRcode_free(code);
    return 0;
}

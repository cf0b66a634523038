# A web server of a few lines, for the Perl that is part of the stack: an app of no language.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{TERM} = sub { exit 0 };
my $server = IO::Socket::INET->new(
    LocalAddr => '0.0.0.0', LocalPort => $ENV{PORT}, Listen => 64, ReuseAddr => 1
) or die "cannot listen on $ENV{PORT}: $!";

my $visits = 0;
while (my $visitor = $server->accept or $!{EINTR}) {
    next unless ref $visitor;
    my $request = <$visitor> // '';
    while (defined(my $line = <$visitor>)) { last if $line =~ /^\r?\n$/ }
    print "asked for ", (split ' ', $request)[1] // 'nothing', "\n";
    my $body = "Hello from Perl, visit " . ++$visits . "\n";
    print $visitor "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ", length($body),
        "\r\nConnection: close\r\n\r\n$body";
    close $visitor;
}

# Watches until a file appears: every process's words, and every file below some directories with mode, owner and
# content. What was not seen before is told when it is over, one thing a line, words and contents in hex.
#
#   perl - STOP MILLISECONDS DIRECTORY...
use strict;
use warnings;

my ($stop, $pause, @directories) = @ARGV;
my (%words, %files, $rounds);

sub content {
    my ($path) = @_;
    open(my $file, '<', $path) or return undef;
    read($file, my $text, 65536);
    return $text;
}

sub look_below {
    my ($directory, $depth) = @_;
    opendir(my $handle, $directory) or return;
    for my $name (readdir $handle) {
        next if $name =~ /^\.\.?$/;
        my $path = "$directory/$name";
        my @about = lstat $path or next;
        if (-d _) { look_below($path, $depth - 1) if $depth; next }
        next unless -f _;
        my $text = content($path);
        $files{join ' ', sprintf('%04o', $about[2] & 07777), $about[4], unpack('H*', $path), unpack('H*', $text // '')} = 1;
    }
}

until (-e $stop) {
    $rounds++;
    opendir(my $processes, '/proc') or die;
    for my $process (grep /^\d+$/, readdir $processes) {
        my $text = content("/proc/$process/cmdline");
        $words{$text} = 1 if defined $text && length $text;
    }
    look_below($_, 4) for @directories;
    select(undef, undef, undef, $pause / 1000);
}
print "rounds $rounds\n";
print 'words ', unpack('H*', $_), "\n" for keys %words;
print "file $_\n" for keys %files;

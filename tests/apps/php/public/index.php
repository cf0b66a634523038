<?php

require __DIR__ . '/../vendor/autoload.php';

use Landfall\Greeting\Greeting;

// Any path comes here; the web server's settings say so.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
error_log("asked for $path");
$database = new PDO('sqlite::memory:');

header('Content-Type: text/plain');
echo Greeting::to('Landfall'), "\n";
echo implode(' ', [
    $path,
    bcadd('0.1', '0.2', 1),
    $database->query('SELECT 6 * 7')->fetchColumn(),
    trim(file_get_contents(__DIR__ . '/../built.txt')),
    trim(file_get_contents(__DIR__ . '/../compiled.txt')),
    $_SERVER['HTTP_AUTHORIZATION'] ?? 'nobody',
    ini_get('upload_max_filesize'),
]), "\n";
